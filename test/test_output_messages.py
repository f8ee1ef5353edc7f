"""Boxes and points of a frame as messages; the others are tested in node and replay."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from box_scene import SIZE, seen
from made_bags import TYPES, header

from panoptic_ros.geometry.cuboid import Cuboid
from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.ground_stage import GroundStage
from panoptic_ros.label_map import LabelMap
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.output_messages import Answer, OutputMessages, Placed
from panoptic_ros.tracking.instance_points import measured_points

pytest.importorskip("trackers", reason="needs the library trackers")

CAR, SECOND = 26000, 10**9
BOX = Cuboid((10.0, 1.0, 0.8), (4.4, 1.8, 1.6), 0.6)
WANTED = {"points", "markers"}


def messages(*views, label_map=None):
    """Return the messages of the last of some views of a car."""
    stage, make = GroundStage(CITYSCAPES), OutputMessages(TYPES.__getitem__, np.asarray)
    panoptic, _ = seen({CAR: BOX})
    image = np.zeros((*SIZE, 3), np.uint8)
    for number, view in enumerate(views, 1):
        ground = stage(panoptic, time_ns=number * SECOND, view=view, boxes=True)
    result = SimpleNamespace(panoptic=panoptic)
    answer = Answer(header(SECOND), image, result, CITYSCAPES, label_map)
    return dict(make.placed(Placed(answer, ground, stage.window, "odom", view), WANTED))


def boxes(found):
    return [m for m in found["markers"].markers if m.ns == "tracks/box"]


@pytest.fixture(scope="module")
def view():
    return replace(seen({CAR: BOX})[1], pose=Pose2D(3.0))


def test_a_depth_image_gives_a_point_for_each_pixel(view):
    cloud = messages(view)["points"]
    assert (cloud.header.frame_id, cloud.height, cloud.width) == ("camera", *SIZE)


def test_of_a_cloud_the_points_in_the_picture_are_given(view):
    optical, _ = measured_points(view, SIZE)
    points = optical @ view.base_from_optical[:3, :3].T + view.base_from_optical[:3, 3]
    behind = points[:5] * [-1, 1, 1]
    cloud = np.concatenate([points[::7], behind]).astype(np.float32)
    found = messages(replace(view, depth=None, points=cloud))
    assert (found["points"].height, found["points"].width) == (1, len(points[::7]))
    assert len(boxes(found)) == 1


def test_without_depth_and_points_there_is_no_cloud(view):
    found = messages(replace(view, depth=None))
    assert "points" not in found
    # The flat one that the lower edge tells.
    assert len(boxes(found)) == 1


def test_boxes_are_in_odom_if_anything_is_known_of_it(view):
    [posed], [unposed] = boxes(messages(view)), boxes(messages(replace(view, pose=None)))
    assert (posed.header.frame_id, unposed.header.frame_id) == ("odom", "base_link")
    assert posed.pose.position.x == pytest.approx(BOX.center[0] + 3, abs=0.2)
    assert unposed.pose.position.x == pytest.approx(BOX.center[0], abs=0.2)


def test_where_poses_end_nothing_of_before_is_shown(view):
    bare = replace(view, pose=None, depth=None)
    assert boxes(messages(view, bare)) == []


def test_points_of_classes_that_are_not_shown_are_unlabeled(view, tmp_path):
    file = tmp_path / "classes.yaml"
    file.write_text("classes:\n  - {id: 1, name: ground, of: [road]}\n")
    shown = messages(view, label_map=LabelMap.read(file, CITYSCAPES))["points"]
    values = shown.data.view(np.uint32).reshape(-1, 7)
    assert set(values[:, 4].tolist()) == {0, 1}
    assert set(values[:, 6].tolist()) == {0}
