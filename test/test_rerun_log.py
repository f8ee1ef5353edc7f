"""What a recording holds, as Rerun's own reader finds it."""

import resource

import numpy as np
import pytest

pytest.importorskip("rerun", reason="needs the extra `rerun`, of Python 3.11 or later")

import rerun as rr
from recorded import logged, rows
from rerun.chunk import RrdReader

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.poses import Pose2D, optical_pose
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.messages.grids import TrackMarker
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.rerun_log import RerunLog

CAMERA = "/world/vehicle/camera"
SIZE = (32, 64)
LABELS = np.full(SIZE, 7, np.uint16)
LABELS[10:20, 5:15] = 26001
PANOPTIC = PanopticPrediction(LABELS, [Segment(26001, 26, True, 0.9, 100, (5, 10, 15, 20))])
LENS = np.array([[32.0, 0, 31.5], [0, 32.0, 15.5], [0, 0, 1]])
VIEW = GroundView(CameraModel(64, 32, LENS), optical_pose(1, 0, 1.5, 0, 0, 0))
CELLS = np.array([[-1, 0, 100], [1, 2, 3]], np.int8)
TRACK = TrackMarker(
    4, "car 4 1.0 m/s", (1, 0, 0), 0.5, (9.0, 0.0, 1.0), (4.0, 2.0, 1.5), 0.3, (1.0, 0.0)
)
START_NS, STEP_NS = 1_700_000_000_000_000_000, 100_000_000


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return what is logged of three frames, by entity, and the reader."""
    path = tmp_path_factory.mktemp("recorded") / "new" / "drive.rrd"
    with RerunLog(path, "drive", CITYSCAPES) as log:
        for number in range(2):
            log.start(START_NS + number * STEP_NS)
            truth = LABELS if number == 0 else None
            log.add_picture(np.zeros((*SIZE, 3), np.uint8), PANOPTIC, {26001: 4}, truth)
            log.add_camera(VIEW, SIZE)
            log.add_ground(
                Pose2D(float(number), 2.0, 0.5),
                CELLS,
                GridWindow(0, -1, 3, 2, 1),
                [TRACK],
                (np.array([[2.0, 1.0]]), np.array([[0.0, 3.0]])) if number == 0 else None,
            )
            log.add_figures({"fusion stack": 3.0 + number}, 0.5 if number == 0 else None)
        # A picture without stamp, without things and without surroundings.
        log.start()
        log.add_picture(np.zeros((*SIZE, 3), np.uint8), PanopticPrediction(LABELS % 1000, []))
    reader = RrdReader(path)
    return logged(reader.stream()), reader


def test_one_file_holds_recording_and_blueprint(recorded):
    _, reader = recorded
    [recording] = reader.recordings()
    assert (recording.application_id, recording.recording_id) == ("panoptic_ros", "drive")
    assert origins(reader) == {"world", "world/vehicle/camera", "latency", "pq"}


def origins(reader):
    """Return what the views of a recording's blueprint show."""
    [blueprint] = reader.blueprints()
    parts = [row for part in logged(reader.stream(store=blueprint)).values() for row in part]
    found = [row.get("ViewBlueprint:space_origin") or [] for row in parts]
    return {origin.strip("/") for row in found for origin in row}


def test_frames_have_a_number_and_their_stamp(recorded):
    entities, _ = recorded
    image = entities[f"{CAMERA}/image"]
    assert rows(image, "EncodedImage:media_type") == {i: ["image/jpeg"] for i in range(3)}
    assert rows(image, "stamp") == {0: START_NS, 1: START_NS + STEP_NS}


def test_classes_have_their_names_and_colours(recorded):
    entities, _ = recorded
    [row] = entities["/"]
    [context] = row["AnnotationContext:context"]
    infos = {e["class_id"]: e["class_description"]["info"] for e in context}
    assert infos.keys() == {0, *CITYSCAPES.ids.tolist()}
    car = CITYSCAPES.by_name["car"]
    assert infos[car.id]["label"] == "car"
    red, green, blue = car.color
    assert infos[car.id]["color"] == red << 24 | green << 16 | blue << 8 | 255


def test_labels_are_a_segmentation_of_classes(recorded):
    entities, _ = recorded
    labels = rows(entities[f"{CAMERA}/labels"], "SegmentationImage:buffer")
    pixels = np.array(labels[0][0], np.uint8).view(np.uint16).reshape(SIZE)
    np.testing.assert_array_equal(pixels, np.where(LABELS == 26001, 26, 7))
    truth = rows(entities[f"{CAMERA}/truth"], "SegmentationImage:buffer")
    assert truth[0] == labels[0]
    # The second frame has none: the first one's is taken away.
    assert rows(entities[f"{CAMERA}/truth"], "Clear:is_recursive")[1] == [False]


def test_instances_have_box_class_and_track(recorded):
    entities, _ = recorded
    boxes = entities[f"{CAMERA}/instances"]
    assert rows(boxes, "Boxes2D:centers")[0] == [[10, 15]]
    assert rows(boxes, "Boxes2D:half_sizes")[0] == [[5, 5]]
    assert rows(boxes, "Boxes2D:labels")[0] == ["car 4 0.90"]
    assert rows(boxes, "Boxes2D:class_ids")[0] == [26]
    assert rows(boxes, "Boxes2D:centers")[2] == []


def test_the_cameras_lens_and_place(recorded):
    entities, _ = recorded
    camera = entities[CAMERA]
    [matrix] = rows(camera, "Pinhole:image_from_camera")[0]
    np.testing.assert_allclose(np.reshape(matrix, (3, 3)).T, LENS)
    assert rows(camera, "Transform3D:translation")[0] == [[1, 0, 1.5]]
    [turn] = rows(camera, "Transform3D:mat3x3")[0]
    np.testing.assert_allclose(
        np.reshape(turn, (3, 3)).T, VIEW.base_from_optical[:3, :3], atol=1e-6
    )


def test_the_grid_is_under_the_car(recorded):
    entities, _ = recorded
    grid = entities["/world/vehicle/grid"]
    assert rows(grid, "GridMap:translation")[0] == [[0, -1, 0]]
    assert rows(grid, "GridMap:cell_size")[0] == [1]
    # The first row of a picture is the farthest to the left; 255 is unknown.
    assert bytes(rows(grid, "GridMap:data")[0][0]) == bytes([1, 2, 3, 255, 0, 100])
    assert rows(grid, "GridMap:colormap")[0] == [rr.components.Colormap.RvizMap.value]


def test_tracks_velocities_and_the_way(recorded):
    entities, _ = recorded
    tracks = entities["/world/tracks"]
    assert rows(tracks, "Boxes3D:centers")[1] == [[9, 0, 1]]
    assert rows(tracks, "Boxes3D:half_sizes")[1] == [[2, 1, 0.75]]
    assert rows(tracks, "Boxes3D:labels")[1] == ["car 4 1.0 m/s"]
    np.testing.assert_allclose(
        rows(tracks, "Boxes3D:quaternions")[1], [[0, 0, np.sin(0.15), np.cos(0.15)]], atol=1e-6
    )
    assert rows(entities["/world/velocities"], "Arrows3D:origins")[1] == [[9, 0, 1]]
    assert rows(entities["/world/velocities"], "Arrows3D:vectors")[1] == [[1, 0, 0]]
    assert rows(entities["/world/path"], "LineStrips3D:strips")[1] == [[[0, 2, 0], [1, 2, 0]]]
    assert rows(entities["/world/vehicle"], "Transform3D:translation")[1] == [[1, 2, 0]]


def test_what_moves_in_the_grid_moves_with_the_car(recorded):
    entities, _ = recorded
    moving = entities["/world/vehicle/grid_velocities"]
    assert rows(moving, "Arrows3D:origins") == {0: [[2, 1, 0]], 1: []}
    assert rows(moving, "Arrows3D:vectors") == {0: [[0, 3, 0]], 1: []}


def test_several_cameras_have_an_entity_and_a_view_each(tmp_path):
    path = tmp_path / "cameras.rrd"
    picture = np.zeros((*SIZE, 3), np.uint8)
    with RerunLog(path, "cameras", CITYSCAPES, ["front", "rear"]) as log:
        log.start()
        log.add_picture(picture, PANOPTIC, truth=LABELS, camera="front")
        log.add_picture(picture, PANOPTIC, camera="rear")
        log.add_camera(VIEW, SIZE, "rear")
    reader = RrdReader(path)
    entities = logged(reader.stream())
    for camera in ("front", "rear"):
        assert rows(entities[f"/world/vehicle/{camera}/instances"], "Boxes2D:class_ids")[0] == [26]
    assert "/world/vehicle/rear/truth" not in entities
    assert rows(entities["/world/vehicle/rear"], "Pinhole:resolution")[0] == [[64, 32]]
    assert origins(reader) >= {"world/vehicle/front", "world/vehicle/rear"}


def test_latency_and_quality_are_curves(recorded):
    entities, _ = recorded
    assert rows(entities[r"/latency/fusion\ stack"], "Scalars:scalars") == {0: [3], 1: [4]}
    assert rows(entities["/pq"], "Scalars:scalars") == {0: [50]}


def test_a_full_disk_is_told_with_the_files_name(tmp_path):
    """A limit to the size of files gives the same errors as a full disk, but for the number."""
    log = RerunLog(tmp_path / "drive.rrd", "drive", CITYSCAPES)
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        log.start()
        log.add_picture(noise, PANOPTIC)
        with pytest.raises(OSError, match=r"cannot be written: .*drive\.rrd"):
            log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "folder.rrd").mkdir()
    with pytest.raises(OSError, match=r"folder\.rrd"):
        RerunLog(tmp_path / "folder.rrd", "drive", CITYSCAPES)
