import json
import re
import resource
import signal
import struct
import subprocess
import sys

import model_file
import numpy as np
import pytest
from made_bags import (
    AHEAD,
    CAMERA,
    INFO,
    SIZE,
    START,
    STEP,
    TRUTH,
    compressed,
    drive,
    info,
    picture,
    raw,
    with_unknown_type,
    write,
)
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin

from panoptic_ros.__main__ import main
from panoptic_ros.bags import BagReader, Topic
from panoptic_ros.bags.message_types import own_types
from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.poses import Pose2D, rigid_transform, rotation_matrix
from panoptic_ros.ground_stage import GroundStage
from panoptic_ros.labels import label_set
from panoptic_ros.output_messages import GRID_OUTPUTS, OUTPUT_KINDS, POINTS
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.replay.output import PanopticBag

MCAP, SQLITE3 = StoragePlugin.MCAP, StoragePlugin.SQLITE3
# rosbags does not know these packages.
_UNKNOWN = ("vision_msgs", "grid_map_msgs")
OUTPUTS = {name for name, kind in OUTPUT_KINDS.items() if kind.split("/")[0] not in _UNKNOWN}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return a model file of small untrained networks."""
    return model_file.write_untrained(tmp_path_factory.mktemp("model") / "small.yaml")


@pytest.fixture
def replay(model, tmp_path, capsys):
    """Return a function that replays a bag: exit code, output folder, what was said."""

    def run(bag, *options, out="out"):
        arguments = ["replay", str(bag), "--out", str(tmp_path / out), "--weights", str(model)]
        code = main([*arguments, "--device", "cpu", *options])
        return code, tmp_path / out, capsys.readouterr()

    return run


def read(bag):
    """Return {topic: [(log time, message)]} of an output bag."""
    found = {}
    with AnyReader([bag]) as reader:
        for connection, time, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append((time, message))
    return found


@pytest.mark.parametrize("plugin", [MCAP, SQLITE3])
@pytest.mark.parametrize("image", [raw, compressed])
def test_every_frame_in_order_with_the_nodes_topics_at_its_stamp(
    replay, model, tmp_path, plugin, image
):
    code, out, _ = replay(drive(tmp_path / "bag", 3, plugin, image))
    assert code == 0
    messages = read(out / "bag")
    # The camera is not calibrated: no grids, and no points.
    names = OUTPUTS - {*GRID_OUTPUTS, POINTS}
    assert {f"/panoptic/{name}" for name in names} | {INFO} == set(messages)
    pipeline = PanopticPipeline.load(str(model), device="cpu")
    labels = messages["/panoptic/labels"]
    assert [time for time, _ in labels] == [START + i * STEP for i in range(3)]
    for i, (time, message) in enumerate(labels):
        assert message.header.stamp.nanosec + message.header.stamp.sec * 10**9 == time
        assert (message.encoding, message.header.frame_id) == ("16UC1", "camera")
        pixels = message.data.view(np.uint16).reshape(SIZE)
        np.testing.assert_array_equal(pixels, pipeline(picture(i)).labels)
    (_, meaning) = messages["/panoptic/label_info"][0]
    assert meaning.label_set == "cityscapes"
    assert len(meaning.classes) == 19
    color = messages["/panoptic/color"][0][1]
    assert (color.encoding, color.height, color.width) == ("rgb8", *SIZE)


def test_a_bag_without_tf_has_grids_by_the_nodes_parameters_and_a_note(replay, tmp_path):
    code, out, said = replay(drive(tmp_path / "bag", 2, focals=(80.0, 80.0), depths=True))
    assert code == 0
    messages = read(out / "bag")
    assert len(messages["/panoptic/grid"]) == len(messages["/panoptic/points"]) == 2
    assert len(messages["/panoptic/grid_velocities"]) == 2
    [_, (_, layers)] = messages["/panoptic/grid_layers"]
    probabilities = (layers.p_empty, layers.p_static, layers.p_dynamic, layers.p_unknown)
    np.testing.assert_allclose(np.sum(probabilities, axis=0), 1, atol=1e-5)
    # Without odometry nothing is known of odom.
    shown = [m for _, message in messages["/panoptic/markers"] for m in message.markers]
    assert {m.header.frame_id for m in shown} == {"base_link"}
    (note,) = [line for line in said.err.splitlines() if "parameters" in line]
    assert note.startswith("note: 2 frames are placed by the default of the node's parameters")


def test_the_report_has_scores_and_a_timeline(replay, tmp_path):
    code, out, said = replay(drive(tmp_path / "bag"))
    assert code == 0
    results = json.loads((out / "results.json").read_text())
    assert results["replay"] | {"bag": ""} == {
        "bag": "",
        "topic": CAMERA,
        "frames": 3,
        "answered": 3,
        "refused": 0,
        "scored": 3,
        "interrupted": False,
        "problems": [],
        "notes": results["replay"]["notes"],
    }
    assert [round(e["time"], 6) for e in results["timeline"]] == [0.0, 0.1, 0.2]
    assert all(0 <= e["pq"] <= 1 for e in results["timeline"])
    assert set(results["fusion"]) == {"stack"}
    assert "PQ" in said.out
    video = results["video"]
    assert video["vpq"]["windows"]["1"]["all"]["pq"] == pytest.approx(
        results["fusion"]["stack"]["panoptic"]["all"]["pq"]
    )
    assert video["stq"]["sequences"]["drive"]["frames"] == 3
    assert "STQ" in said.out
    assert "timeline" in (out / "report.html").read_text().lower()


def test_a_bag_without_truth_is_timed(replay, tmp_path):
    code, out, _ = replay(drive(tmp_path / "bag", truth=False))
    assert code == 0
    results = json.loads((out / "results.json").read_text())
    assert "fusion" not in results
    assert results["timing"]["end_to_end"]["stack"]["p50"] > 0
    assert (out / "report.html").is_file()


def test_twice_gives_identical_label_images(replay, tmp_path):
    bag = drive(tmp_path / "bag", 2)
    _, first, _ = replay(bag, out="first")
    _, second, _ = replay(bag, out="second")
    for topic in ("/panoptic/labels", "/panoptic/semantic", "/panoptic/confidence"):
        pairs = zip(read(first / "bag")[topic], read(second / "bag")[topic], strict=True)
        for (_, a), (_, b) in pairs:
            np.testing.assert_array_equal(a.data, b.data)


def test_nothing_is_overwritten(replay, tmp_path):
    bag = drive(tmp_path / "bag", 1)
    assert replay(bag)[0] == 0
    code, _, said = replay(bag)
    assert code == 2
    assert "is not empty" in said.err


def test_the_lock_of_a_killed_command_is_nothing(replay, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").touch()
    code, out, _ = replay(drive(tmp_path / "bag", 1))
    assert code == 0
    assert not (out / ".lock").exists()


def test_two_at_once_into_one_folder_leave_one(tmp_path):
    types, labels = own_types(), label_set("cityscapes")
    # Both have found the folder empty.
    first, second = (PanopticBag(tmp_path / "bag", "mcap", types, labels) for _ in range(2))
    with first, pytest.raises(ValueError, match=r"bag exists already.*choose another --out"):
        second.__enter__()
    with pytest.raises(ValueError, match=r"bag exists already.*choose another --out"):
        PanopticBag(tmp_path / "bag", "mcap", types, labels)


def test_a_file_is_no_output_folder(replay, tmp_path):
    (tmp_path / "out").touch()
    code, out, said = replay(drive(tmp_path / "bag", 1))
    assert code == 2
    assert f"{out} is no folder: choose another --out" in said.err


def test_a_topic_that_ros_cannot_name_is_played_offline_only(replay, tmp_path):
    bag = write(tmp_path / "bag", [("/came ra", START, raw(START, picture(0)))], MCAP)
    assert replay(bag)[0] == 0
    code, _, said = replay(bag, "--live", out="live")
    assert code == 2
    assert "'/came ra' cannot be played" in said.err


def test_messages_that_are_not_in_cdr_are_not_copied_as_if_they_were(tmp_path):
    topic = Topic("/odom", "nav_msgs/msg/Odometry", serialization="json")
    types, labels = own_types(), label_set("cityscapes")
    with (
        PanopticBag(tmp_path / "bag", "mcap", types, labels) as output,
        pytest.raises(KeyError, match="Odometry"),
    ):
        output.copy(topic, START, b"{}")


def test_a_path_that_the_writer_of_sqlite3_loses_is_refused(replay, tmp_path):
    code, _, said = replay(drive(tmp_path / "bag", 1, SQLITE3), out="drive #1")
    assert (code, list(tmp_path.iterdir())) == (2, [tmp_path / "bag"])
    assert "drive #1/bag: a bag in sqlite3 cannot be written to a path with ? # or %" in said.err


def test_a_truncated_bag_is_replayed_up_to_the_break(replay, tmp_path):
    bag = drive(tmp_path / "bag", 4)
    (file,) = bag.glob("*.mcap")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])
    code, out, said = replay(bag)
    assert code == 1
    assert "broken:" in said.err
    assert file.name in said.err
    frames = len(read(out / "bag")["/panoptic/labels"])
    assert 1 <= frames < 4
    assert json.loads((out / "results.json").read_text())["replay"]["answered"] == frames


def test_a_bag_without_metadata_is_replayed(replay, tmp_path):
    bag = drive(tmp_path / "bag", 2, SQLITE3)
    (bag / "metadata.yaml").unlink()
    code, out, said = replay(bag)
    assert code == 1
    assert "metadata.yaml is missing" in said.err
    assert len(read(out / "bag")["/panoptic/labels"]) == 2


@pytest.mark.parametrize("name", ["empty", "no_images"])
def test_a_bag_without_images_says_what_it_has(replay, tmp_path, name):
    other = [] if name == "empty" else [(INFO, START, info(START))]
    code, out, said = replay(write(tmp_path / "bag", other, MCAP))
    assert code == 1
    assert (
        "has no images; its topics: "
        + ("none;" if name == "empty" else f"{INFO} (sensor_msgs/msg/CameraInfo, cdr);")
        in said.err
    )
    assert "/panoptic/labels" not in read(out / "bag")


def test_a_topic_of_unknown_type_is_nothing_broken(replay, tmp_path):
    code, out, said = replay(with_unknown_type(tmp_path / "bag"), "--keep")
    assert code == 0, said.err
    assert "/odd is not copied: its type strange_msgs/msg/Odd is unknown" in said.err
    assert len(read(out / "bag")["/panoptic/labels"]) == 2


def test_a_calibration_that_changes_is_told_with_its_time(replay, tmp_path):
    code, out, said = replay(drive(tmp_path / "bag", 3, focals=(80, 80, 90)))
    assert code == 1
    assert f"{INFO} at {(START + 2 * STEP) / 1e9:.6f} s: the calibration changes" in said.err
    assert len(read(out / "bag")["/panoptic/labels"]) == 3
    assert said.err.count("calibration changes") == 1


def cut_off(pixels):
    message = compressed(START + STEP, pixels)
    message.data = message.data[:50]
    return message


@pytest.mark.parametrize(
    "broken", [cut_off, lambda pixels: compressed(START + STEP, pixels[:8])], ids=["cut", "tiny"]
)
def test_a_broken_frame_is_named_and_the_rest_goes_on(replay, tmp_path, broken):
    def image(time, pixels):
        return broken(pixels) if time == START + STEP else compressed(time, pixels)

    code, out, said = replay(drive(tmp_path / "bag", 3, image=image))
    assert code == 1
    assert f"{CAMERA} at 1700000000.100000000 s" in said.err
    assert len(read(out / "bag")["/panoptic/labels"]) == 2
    done = json.loads((out / "results.json").read_text())
    assert (done["replay"]["refused"], done["replay"]["scored"]) == (1, 2)
    assert "refused" in done["timeline"][1]


def test_a_network_that_fails_costs_one_frame(replay, tmp_path, monkeypatch):
    run, calls = PanopticPipeline.run, []

    def fail_once(pipeline, image):
        calls.append(image)
        if len(calls) == 2:
            raise RuntimeError("the graph\ncannot run")
        return run(pipeline, image)

    monkeypatch.setattr(PanopticPipeline, "run", fail_once)
    code, out, said = replay(drive(tmp_path / "bag", 3))
    assert code == 1
    assert "1700000000.100000000 s: RuntimeError: the graph cannot run" in said.err
    assert len(read(out / "bag")["/panoptic/labels"]) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--topic", "/nothing"], "no image topic"), (["--truth-topic", INFO], "no image topic")],
)
def test_a_wanted_topic_that_is_not_there_is_told_before_anything_is_written(
    replay, tmp_path, options, words
):
    code, out, said = replay(drive(tmp_path / "bag", 1), *options)
    assert code == 2
    assert words in said.err
    assert not out.exists()


def test_no_bag_is_told(replay, tmp_path):
    code, _, said = replay(tmp_path / "nothing")
    assert code == 2
    assert "there is no bag" in said.err


def start(model, bag, out, *options, **settings):
    command = [sys.executable, "-m", "panoptic_ros", "replay", bag, "--out", out]
    return subprocess.Popen(
        [*command, "--weights", model, "--device", "cpu", *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        **settings,
    )


def wait_for_frame(process, number):
    """Wait until at least so many of 200 frames are told of: not each number is."""
    said = ""
    while not any(int(found) >= number for found in re.findall(r" (\d+)/200 ", said)):
        said += process.stderr.read(1) or pytest.fail(said)


@pytest.mark.parametrize(
    ("plugin", "number", "code"),
    [(MCAP, signal.SIGINT, 130), (SQLITE3, signal.SIGTERM, 143)],
    ids=["INT", "TERM"],
)
def test_a_signal_closes_the_bag_in_order(model, tmp_path, plugin, number, code):
    out = tmp_path / "out"
    process = start(model, drive(tmp_path / "bag", 200, plugin), out)
    wait_for_frame(process, 3)
    process.send_signal(number)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == code
    assert "complete up to there" in rest
    frames = len(read(out / "bag")["/panoptic/labels"])
    assert 3 <= frames < 200
    assert json.loads((out / "results.json").read_text())["replay"]["interrupted"]


@pytest.mark.parametrize(("plugin", "frames"), [(MCAP, 4), (SQLITE3, 1)])
def test_killed_it_leaves_all_but_the_frame_in_work(model, tmp_path, plugin, frames):
    out = tmp_path / "out"
    process = start(model, drive(tmp_path / "bag", 200, plugin, placed=True), out)
    wait_for_frame(process, frames)
    process.kill()
    process.wait()
    with BagReader(out / "bag") as bag:
        written = [m.time for m in bag.messages({"/panoptic/labels"})]
        assert len(written) >= frames
        assert written == [START + i * STEP for i in range(len(written))]
        assert bag.counts["/panoptic/grid"] >= frames
        # All of it can be read.
        problems = len(bag.problems)
        assert sum(1 for _ in bag.messages(bag.kinds)) == sum(bag.counts.values())
        assert len(bag.problems) == problems
    assert not (out / "results.json").exists()


@pytest.mark.parametrize("plugin", [MCAP, SQLITE3])
def test_a_full_disk_ends_it_and_is_named(model, tmp_path, plugin):
    """A limit to the size of files gives the same errors as a full disk, but for the number."""
    out, limit = tmp_path / "out", 300_000
    bag = drive(tmp_path / "bag", 200, plugin, truth=False)
    process = start(
        model,
        bag,
        out,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    _, said = process.communicate(timeout=240)
    assert process.returncode == 1, said
    assert f"broken: {out / 'bag'} cannot be written any further: " in said
    assert "Traceback" not in said
    results = json.loads((out / "results.json").read_text())["replay"]
    assert 1 <= results["answered"] < 200
    with BagReader(out / "bag") as written:
        assert written.counts["/panoptic/labels"] >= results["answered"] - 1


def stamped(path, frames, truths):
    """Write a bag of frames and truths, each (stamp, log time)."""
    messages = [(CAMERA, time, raw(stamp, picture(i))) for i, (stamp, time) in enumerate(frames)]
    labels = np.full(SIZE, 7, np.uint16)
    messages += [(TRUTH, time, compressed(stamp, labels)) for stamp, time in truths]
    return write(path, messages, MCAP)


def test_frames_of_one_stamp_are_scored_by_their_log_times(replay, tmp_path):
    at = [(0, START + i * STEP) for i in range(3)]
    code, out, said = replay(stamped(tmp_path / "bag", at, at))
    assert code == 0, said.err
    results = json.loads((out / "results.json").read_text())
    assert results["replay"]["scored"] == 3
    # Only the first has a grid and tracks: nobody knows how much later the others are.
    assert len(read(out / "bag")["/panoptic/labels"]) == 3


def test_frames_whose_truth_is_not_known_are_named_and_not_scored(replay, tmp_path):
    at = [(0, START)] * 3
    code, out, said = replay(stamped(tmp_path / "bag", at, at))
    assert code == 1
    assert "not scored: the stamps 0.000000000 s belong to several messages" in said.err
    results = json.loads((out / "results.json").read_text())["replay"]
    assert (results["answered"], results["scored"]) == (3, 0)


def test_a_truth_of_no_class_that_is_known_is_not_scored(replay, tmp_path):
    values = {0: 99, 1: 7, 2: 0}
    messages = []
    for i, value in values.items():
        time, labels = START + i * STEP, np.full(SIZE, value, np.uint16)
        messages += [(CAMERA, time, raw(time, picture(i))), (TRUTH, time, compressed(time, labels))]
    code, out, said = replay(write(tmp_path / "bag", messages, MCAP))
    assert code == 1
    assert json.loads((out / "results.json").read_text())["replay"]["scored"] == 2
    assert "not scored (its values [99] are of no class of cityscapes; it must have" in said.err


def test_a_truth_that_claims_billions_of_pixels_is_not_scored(replay, tmp_path):
    claim = compressed(START, np.full(SIZE, 7, np.uint16))
    claim.data[16:24] = np.frombuffer(struct.pack(">II", 60000, 60000), np.uint8)
    bag = write(
        tmp_path / "huge", [(CAMERA, START, raw(START, picture(0))), (TRUTH, START, claim)], MCAP
    )
    code, out, said = replay(bag)
    assert code == 1
    assert "60000x60000" in said.err
    assert "not scored" in said.err
    results = json.loads((out / "results.json").read_text())["replay"]
    assert (results["answered"], results["scored"]) == (1, 0)


def test_grids_and_tracks_are_the_ground_stages(replay, model, tmp_path):
    code, out, said = replay(drive(tmp_path / "bag", 3, placed=True, depths=True))
    assert code == 0, said.err
    messages = read(out / "bag")
    assert {topic.removeprefix("/panoptic/") for topic in messages} >= OUTPUTS
    pipeline = PanopticPipeline.load(str(model), device="cpu")
    stage = GroundStage(pipeline.labels)
    camera = CameraModel.from_camera_info(info(START))
    mounting = rigid_transform((1.5, 0.0, 1.2), rotation_matrix(AHEAD))
    for i, (time, grid) in enumerate(messages["/panoptic/grid"]):
        view = GroundView(camera, mounting, Pose2D(float(i)), np.full(SIZE, 5, np.float32))
        panoptic = pipeline(picture(i))
        placed = stage(panoptic, time_ns=START + i * STEP, view=view, boxes=True)
        assert (time, grid.header.frame_id) == (START + i * STEP, "base_link")
        np.testing.assert_array_equal(grid.data, placed.frame.layers.occupancy.ravel())
        instances = messages["/panoptic/instances"][i][1].instances
        assert {e.id: e.track_id for e in instances} == {
            e.id: placed.track_ids.get(e.id, -1) for e in instances
        }
        markers = messages["/panoptic/markers"][i][1].markers
        assert {m.header.frame_id for m in markers} <= {"odom"}
        boxes = {t.track_id: t.box_3d.cuboid for t in placed.tracks if t.box_3d}
        shown = {m.id: m for m in markers if m.ns == "tracks/box" and m.action == 0}
        assert boxes.keys() <= shown.keys()
        for track, box in boxes.items():
            place, scale = shown[track].pose.position, shown[track].scale
            assert (place.x, place.y, place.z) == pytest.approx(box.center)
            assert (scale.x, scale.y, scale.z) == pytest.approx(box.size)
        cloud = messages["/panoptic/points"][i][1]
        assert (cloud.header.frame_id, cloud.height, cloud.width) == ("camera", *SIZE)
        points = cloud.data.view(np.uint32).reshape(-1, 7)
        assert (points.view(np.float32)[:, 2] == 5).all()
        np.testing.assert_array_equal(points[:, 5], panoptic.labels.ravel())


def test_the_frames_are_recorded_for_rerun(replay, tmp_path):
    pytest.importorskip("rerun", reason="needs the extra `rerun`, of Python 3.11 or later")
    from recorded import logged, rows
    from rerun.chunk import RrdReader

    file = tmp_path / "drive.rrd"
    code, out, said = replay(drive(tmp_path / "bag", 3, placed=True), "--rerun", str(file))
    assert code == 0, said.err
    entities = logged(RrdReader(file).stream())
    timeline = json.loads((out / "results.json").read_text())["timeline"]
    quality = rows(entities["/pq"], "Scalars:scalars")
    assert quality == {i: [pytest.approx(100 * entry["pq"])] for i, entry in enumerate(timeline)}
    total = rows(entities["/latency/total"], "Scalars:scalars")
    assert 0 < total[1][0] <= timeline[1]["milliseconds"]
    images = entities["/world/vehicle/camera/image"]
    assert rows(images, "stamp") == {i: START + i * STEP for i in range(3)}
    grid = read(out / "bag")["/panoptic/grid"][2][1]
    cells = np.frombuffer(
        bytes(rows(entities["/world/vehicle/grid"], "GridMap:data")[2][0]), np.int8
    )
    height = grid.info.height
    np.testing.assert_array_equal(cells.reshape(height, -1)[::-1].ravel(), grid.data)
    assert rows(entities["/world/vehicle"], "Transform3D:translation")[2] == [[2, 0, 0]]
    assert {"/world/tracks", "/world/vehicle/camera", "/world/vehicle/camera/truth"} <= set(
        entities
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--rerun", "drive.mcap"], "drive.mcap does not end in .rrd"),
        (["--rerun", "drive.rrd", "--live"], "--rerun records one bag, without --live"),
    ],
)
def test_what_cannot_be_recorded_is_told(replay, tmp_path, capsys, options, reason):
    pytest.importorskip("rerun", reason="needs the extra `rerun`, of Python 3.11 or later")
    with pytest.raises(SystemExit) as exit_:
        replay(tmp_path / "bag", *options)
    assert exit_.value.code == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("plugin", [MCAP, SQLITE3])
def test_all_topics_are_kept_where_that_is_wanted(replay, tmp_path, plugin):
    bag = drive(tmp_path / "bag", 2, plugin, placed=True)
    code, out, said = replay(bag, "--keep")
    assert code == 0, said.err
    given, kept = read(bag), read(out / "bag")
    for topic in (CAMERA, INFO, TRUTH, "/odom", "/tf_static"):
        assert [time for time, _ in kept[topic]] == [time for time, _ in given[topic]]
    for (_, image), i in zip(kept[CAMERA], range(2), strict=True):
        np.testing.assert_array_equal(image.data, picture(i).ravel())
    code, again, said = replay(out / "bag", "--keep", "--topic", CAMERA, out="again")
    assert code == 0, said.err
    assert "/panoptic/labels is not copied: the output has its own" in said.err
    assert len(read(again / "bag")["/panoptic/labels"]) == 2
