import importlib.util

import numpy as np
import pytest

from panoptic_ros.bags.message_types import own_types
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.messages.grids import (
    GRID_KIND,
    LAYERS_KIND,
    MARKERS_KIND,
    GridMessages,
    MarkerMessages,
    TrackMarker,
)

WINDOW = GridWindow(1.0, -1.0, 1.5, 1.0, 0.5)
CELLS = np.int8([[-1, 0, 100], [1, 2, 3]])
STORE = own_types()
TYPES = STORE.types
CUBE, TEXT, ARROW = 1, 9, 0
ADD, DELETE, DELETE_ALL = 0, 2, 3


def rosbags():
    return TYPES.__getitem__, np.asarray


def rclpy():
    from panoptic_ros.ros.conversions import message_type, packed

    return message_type, packed


@pytest.fixture(params=[rosbags, rclpy], ids=["rosbags", "rclpy"])
def library(request):
    if request.param is rclpy and importlib.util.find_spec("rclpy") is None:
        pytest.skip("needs ROS 2 (rclpy)")
    return request.param()


def header(library):
    of, _ = library
    stamp = of("builtin_interfaces/msg/Time")(sec=7, nanosec=5)
    return of("std_msgs/msg/Header")(stamp=stamp, frame_id="base_link")


def sent(message, kind):
    """Return a message as a reader of bags gets it from either library."""
    if type(message).__module__.startswith("rosbags"):
        data = STORE.serialize_cdr(message, kind)
    else:
        from rclpy.serialization import serialize_message

        data = serialize_message(message)
    return STORE.deserialize_cdr(data, kind)


def grids(library):
    return GridMessages(*library)


def test_rows_of_the_grid_follow_each_other_from_the_smallest_y(library):
    message = sent(grids(library).grid(CELLS, WINDOW, header(library)), GRID_KIND)
    assert (message.header.stamp.sec, message.header.frame_id) == (7, "base_link")
    assert message.info.map_load_time == message.header.stamp
    assert (message.info.width, message.info.height, message.info.resolution) == (3, 2, 0.5)
    origin = message.info.origin
    assert (origin.position.x, origin.position.y, origin.position.z) == (1.0, -1.0, 0.0)
    assert (origin.orientation.z, origin.orientation.w) == (0.0, 1.0)
    assert message.data.tolist() == [-1, 0, 100, 1, 2, 3]


def test_unknown_classes(library):
    def grid(classes):
        return grids(library).class_grid(np.uint8(classes), WINDOW, header(library))

    message = sent(grid([[0, 7, 8], [26, 127, 0]]), GRID_KIND)
    assert message.data.tolist() == [-1, 7, 8, 26, 127, -1]
    with pytest.raises(ValueError, match="class id 128 does not fit"):
        grid([[0, 128]])


def test_layers_are_unknown_where_the_grid_is(library):
    classes = np.full((2, 2, 3), 0.5, np.float32)
    occupied = np.full((2, 3), 0.25, np.float32)
    build = grids(library)
    ids = np.array([7, 300])
    layers = build.layers(CELLS, occupied, classes, ids, {}, WINDOW, header(library))
    message = sent(layers, LAYERS_KIND)
    assert message.info == sent(build.grid(CELLS, WINDOW, header(library)), GRID_KIND).info
    assert message.class_ids.tolist() == [7, 300]
    np.testing.assert_array_equal(message.occupancy, np.float32([np.nan] + [0.25] * 5))
    found = message.class_probabilities.reshape(2, 6)
    assert np.isnan(found[:, 0]).all()
    assert (found[:, 1:] == 0.5).all()
    assert len(message.p_dynamic) == len(message.unknown_reason) == 0


def test_layers_of_what_moves(library):
    one = np.arange(6, dtype=np.float64).reshape(2, 3)
    names = ("p_empty", "p_static", "p_dynamic", "p_unknown", "velocity_x", "velocity_y")
    planes = {name: one + number for number, name in enumerate((*names, "obstacle_distance"))}
    planes |= {"velocity_covariance": np.stack([one, -one, 2 * one])}
    planes |= {"unknown_reason": np.uint8([[0, 1, 2], [3, 4, 0]])}
    classes = np.zeros((1, 2, 3))
    layers = grids(library).layers(
        CELLS, one, classes, np.array([7]), planes, WINDOW, header(library)
    )
    message = sent(layers, LAYERS_KIND)
    for name, plane in planes.items():
        np.testing.assert_array_equal(getattr(message, name), plane.ravel())
    assert message.velocity_covariance.dtype == np.float32
    assert message.unknown_reason.tolist() == [
        message.KNOWN,
        message.OUT_OF_VIEW,
        message.HIDDEN,
        message.TOO_COARSE,
        message.NEVER_SEEN,
        message.KNOWN,
    ]


def track(track_id, velocity=None, **fields):
    known = {"text": f"car {track_id}", "color": (0.0, 0.5, 1.0), "alpha": 0.7}
    known |= {"center": (1.0, 2.0, 0.5), "size": (4.0, 2.0, 1.0), "yaw": np.pi / 2}
    return TrackMarker(track_id, velocity=velocity, **(known | fields))


def kinds(message):
    return [(m.ns, m.id, m.action) for m in message.markers]


def test_a_tracks_markers(library):
    markers = MarkerMessages(*library)
    message = sent(markers.message([track(3, (2.0, 0.0))], header(library)), MARKERS_KIND)
    first, box, name, arrow = message.markers
    assert first.action == DELETE_ALL
    assert (box.type, name.type, arrow.type) == (CUBE, TEXT, ARROW)
    assert {m.header.frame_id for m in message.markers} == {"base_link"}
    assert (box.scale.x, box.scale.y, box.scale.z) == (4.0, 2.0, 1.0)
    assert box.pose.orientation.z == pytest.approx(np.sqrt(0.5))
    assert (box.color.r, box.color.g, box.color.b) == (0.0, 0.5, 1.0)
    assert box.color.a == pytest.approx(0.7)
    assert name.text == "car 3"
    assert name.pose.position.z > 1.0
    assert [(p.x, p.y) for p in arrow.points] == [(1.0, 2.0), (3.0, 2.0)]


def test_what_ends_is_deleted_once(library):
    markers, head = MarkerMessages(*library), header(library)
    markers.message([track(1, (1.0, 0.0)), track(2)], head)
    # 1 stands still now, 2 is gone.
    assert kinds(markers.message([track(1)], head)) == [
        ("tracks/box", 2, DELETE),
        ("tracks/name", 2, DELETE),
        ("tracks/velocity", 1, DELETE),
        ("tracks/box", 1, ADD),
        ("tracks/name", 1, ADD),
    ]
    assert kinds(markers.message([track(1)], head)) == [
        ("tracks/box", 1, ADD),
        ("tracks/name", 1, ADD),
    ]


def test_arrows_replace_those_of_the_last_message(library):
    markers = MarkerMessages(*library)
    places, velocities = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.5, -1.0], [2.0, 0.0]])
    message = sent(markers.arrows(places, velocities, header(library)), MARKERS_KIND)
    assert kinds(message) == [
        ("", 0, DELETE_ALL),
        ("grid/velocity", 0, ADD),
        ("grid/velocity", 1, ADD),
    ]
    for marker, start, way in zip(message.markers[1:], places, velocities, strict=True):
        assert marker.type == ARROW
        assert [(p.x, p.y) for p in marker.points] == [tuple(start), tuple(start + way)]
    nothing = np.zeros((0, 2))
    assert kinds(markers.arrows(nothing, nothing, header(library))) == [("", 0, DELETE_ALL)]


def test_a_grid_maps_matrices_begin_at_the_largest_x_and_y():
    """With fields as grid_map_msgs has them, and grid_map_core's order (column-major)."""
    build = GridMessages(lambda _: dict, np.asarray)
    plane = np.arange(6.0).reshape(2, 3)
    message = build.grid_map({"a": plane, "b": plane + 10}, WINDOW, "header")
    assert (message["layers"], message["header"]) == (["a", "b"], "header")
    info = message["info"]
    assert (info["resolution"], info["length_x"], info["length_y"]) == (0.5, 1.5, 1.0)
    middle = info["pose"]["position"]
    assert (middle["x"], middle["y"]) == (1.75, -0.5)
    first, second = message["data"]
    matrix = first["data"].reshape(3, 2, order="F")
    # Rows go along -x, columns along -y.
    np.testing.assert_array_equal(matrix, [[5, 2], [4, 1], [3, 0]])
    assert second["data"].dtype == np.float32
    dimensions = [(d["label"], d["size"], d["stride"]) for d in first["layout"]["dim"]]
    assert dimensions == [("column_index", 2, 6), ("row_index", 3, 3)]
