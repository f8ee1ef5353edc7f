import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from builtin_interfaces.msg import Time
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from panoptic_ros.grid.layers import GridLayers
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.ros.ground_conversions import (
    MarkerMessages,
    class_cells,
    grid_message,
    layers_message,
)
from panoptic_ros.tracking.markers import TrackMarker

HEADER = Header(stamp=Time(sec=7, nanosec=5), frame_id="base_link")
WINDOW = GridWindow(1.0, -1.0, 1.5, 1.0, 0.5)
CELLS = np.int8([[-1, 0, 100], [1, 2, 3]])


def marker(track_id, velocity=None, **fields):
    known = {"text": f"car {track_id}", "color": (0.0, 0.5, 1.0), "alpha": 0.7}
    known |= {"center": (1.0, 2.0, 0.5), "size": (4.0, 2.0, 1.0), "yaw": np.pi / 2}
    return TrackMarker(track_id, velocity=velocity, **(known | fields))


def test_rows_of_the_grid_follow_each_other_from_the_smallest_y():
    message = grid_message(CELLS, WINDOW, HEADER)
    assert message.header == HEADER
    assert message.info.map_load_time == HEADER.stamp
    assert (message.info.width, message.info.height, message.info.resolution) == (3, 2, 0.5)
    origin = message.info.origin
    assert (origin.position.x, origin.position.y, origin.position.z) == (1.0, -1.0, 0.0)
    assert (origin.orientation.z, origin.orientation.w) == (0.0, 1.0)
    assert list(message.data) == [-1, 0, 100, 1, 2, 3]


def test_unknown_classes():
    assert class_cells(np.uint8([[0, 7], [26, 127]])).tolist() == [[-1, 7], [26, 127]]
    with pytest.raises(ValueError, match="class id 128 does not fit"):
        class_cells(np.uint8([[0, 128]]))


def test_layers_are_unknown_where_the_grid_is():
    probabilities = np.full((19, 2, 3), 1 / 19, np.float32)
    layers = GridLayers(
        CELLS, np.full((2, 3), 0.25, np.float32), np.zeros((2, 3), np.uint8), CELLS, probabilities
    )
    message = layers_message(layers, CITYSCAPES, WINDOW, HEADER)
    assert message.info == grid_message(CELLS, WINDOW, HEADER).info
    assert message.class_ids.tolist() == CITYSCAPES.ids.tolist()
    np.testing.assert_array_equal(message.occupancy, np.float32([np.nan] + [0.25] * 5))
    found = np.array(message.class_probabilities).reshape(19, 6)
    assert np.isnan(found[:, 0]).all()
    np.testing.assert_allclose(found[:, 1:], 1 / 19, rtol=1e-6)


def kinds(message):
    return [(m.ns, m.id, m.action) for m in message.markers]


def test_a_tracks_markers():
    first, box, name, arrow = MarkerMessages().message([marker(3, (2.0, 0.0))], HEADER).markers
    assert first.action == Marker.DELETEALL
    assert (box.type, name.type, arrow.type) == (
        Marker.CUBE,
        Marker.TEXT_VIEW_FACING,
        Marker.ARROW,
    )
    assert {m.header.frame_id for m in (box, name, arrow)} == {"base_link"}
    assert (box.scale.x, box.scale.y, box.scale.z) == (4.0, 2.0, 1.0)
    assert box.pose.orientation.z == pytest.approx(np.sqrt(0.5))
    assert (box.color.r, box.color.g, box.color.b) == (0.0, 0.5, 1.0)
    assert box.color.a == pytest.approx(0.7)
    assert name.text == "car 3"
    assert name.pose.position.z > 1.0
    assert [(p.x, p.y) for p in arrow.points] == [(1.0, 2.0), (3.0, 2.0)]


def test_what_ends_is_deleted_once():
    messages = MarkerMessages()
    messages.message([marker(1, (1.0, 0.0)), marker(2)], HEADER)
    # 1 stands still now, 2 is gone.
    assert kinds(messages.message([marker(1)], HEADER)) == [
        ("tracks/box", 2, Marker.DELETE),
        ("tracks/name", 2, Marker.DELETE),
        ("tracks/velocity", 1, Marker.DELETE),
        ("tracks/box", 1, Marker.ADD),
        ("tracks/name", 1, Marker.ADD),
    ]
    assert kinds(messages.message([marker(1)], HEADER)) == [
        ("tracks/box", 1, Marker.ADD),
        ("tracks/name", 1, Marker.ADD),
    ]
