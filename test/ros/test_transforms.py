"""What is made of TF, at the one place where tf2 is called."""

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.context import Context

from panoptic_ros.geometry.poses import optical_pose
from panoptic_ros.ros.transforms import Transforms, broadcast_mounting, is_available

# NumPy's warnings pass every throttle of the log.
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
SECOND = 10**9
MOUNTING = {"x": 1.7, "y": 0.2, "z": 1.2, "roll": 0.01, "pitch": 0.04, "yaw": -0.02}


@pytest.fixture(scope="module")
def node(domain):
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("transforms", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def listened(tf2, node, monkeypatch):
    """Return Transforms, and the buffer that it listens with."""
    buffers = []

    class Buffer(tf2.Buffer):
        def __init__(self):
            super().__init__()
            buffers.append(self)

    monkeypatch.setattr(tf2, "Buffer", Buffer)
    transforms = Transforms(node)
    yield transforms, buffers[0]
    transforms.close()


def transform(parent, child, x=0.0, yaw=0.0, seconds=0.0):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec = int(seconds)
    message.header.stamp.nanosec = round(seconds % 1 * 1e9)
    message.transform.translation.x = x
    message.transform.rotation.z = math.sin(yaw / 2)
    message.transform.rotation.w = math.cos(yaw / 2)
    return message


def test_is_available(tf2):
    assert is_available()


def test_a_static_transform_holds_at_any_time(listened):
    transforms, buffer = listened
    buffer.set_transform_static(transform("base_link", "camera", x=2.0, yaw=math.pi / 2), "test")
    for time_ns in (0, SECOND, 10**6 * SECOND):
        found = transforms.lookup("base_link", "camera", time_ns)
        expected = [[0, -1, 0, 2], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        np.testing.assert_allclose(found, expected, atol=1e-9)
    # As frames were called in ROS 1.
    back = transforms.lookup("/camera", "/base_link", SECOND)
    np.testing.assert_allclose(back @ found, np.eye(4), atol=1e-9)


def test_a_moving_transform_is_interpolated(listened):
    transforms, buffer = listened
    buffer.set_transform_static(transform("base_link", "camera", x=1.0), "test")
    buffer.set_transform(transform("odom", "base_link", x=10.0, seconds=1), "test")
    buffer.set_transform(transform("odom", "base_link", x=20.0, yaw=1.0, seconds=2), "test")
    found = transforms.lookup("odom", "camera", SECOND + SECOND // 2)
    place = [15 + math.cos(0.5), math.sin(0.5), 0]
    np.testing.assert_allclose(found[:3, 3], place, atol=1e-6)
    # Without a time: the newest.
    assert transforms.lookup("odom", "base_link")[0, 3] == pytest.approx(20)


@pytest.mark.parametrize(("seconds", "way"), [(0.5, "past"), (2.5, "future")])
def test_what_lies_outside_is_not_guessed(listened, seconds, way):
    transforms, buffer = listened
    for stamp in (1, 2):
        buffer.set_transform(transform("odom", "base_link", seconds=stamp), "test")
    with pytest.raises(LookupError, match=f"extrapolation into the {way}"):
        transforms.lookup("odom", "base_link", round(seconds * SECOND))


def test_frames_that_nobody_knows_or_that_do_not_hang_together_are_named(listened):
    transforms, buffer = listened
    buffer.set_transform_static(transform("base_link", "camera"), "test")
    buffer.set_transform_static(transform("map", "odom"), "test")
    with pytest.raises(LookupError, match="lidar"):
        transforms.lookup("base_link", "lidar", SECOND)
    with pytest.raises(LookupError, match="tree"):
        transforms.lookup("odom", "camera", SECOND)


def test_frames_in_a_circle_are_an_error_and_no_endless_search(listened):
    transforms, buffer = listened
    for parent, child in (("base_link", "camera"), ("camera", "base_link"), ("map", "odom")):
        buffer.set_transform_static(transform(parent, child), "test")
    with pytest.raises(LookupError):
        transforms.lookup("odom", "camera", SECOND)


def test_moving_transforms_are_forgotten_where_time_starts_again(listened):
    transforms, buffer = listened
    buffer.set_transform_static(transform("base_link", "camera", x=1.0), "test")
    buffer.set_transform(transform("odom", "base_link", x=10.0, seconds=1000), "test")
    transforms.clear()
    assert transforms.lookup("base_link", "camera", SECOND)[0, 3] == pytest.approx(1)
    with pytest.raises(LookupError):
        transforms.lookup("odom", "base_link", 1000 * SECOND)
    buffer.set_transform(transform("odom", "base_link", x=3.0, seconds=1), "test")
    assert transforms.lookup("odom", "base_link", SECOND)[0, 3] == pytest.approx(3)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: setattr(t.translation, "x", math.nan),
        lambda t: setattr(t.translation, "y", math.inf),
        lambda t: setattr(t.rotation, "w", 0.0),
        lambda t: setattr(t.rotation, "w", math.nan),
        lambda t: setattr(t.rotation, "w", 1e300),
    ],
)
def test_what_is_no_pose_is_never_returned(listened, change):
    """tf2 ignores most of these itself."""
    transforms, buffer = listened
    message = transform("base_link", "camera", seconds=1)
    change(message.transform)
    buffer.set_transform(message, "test")
    with pytest.raises((LookupError, ValueError)):
        transforms.lookup("base_link", "camera", SECOND)


def test_what_a_buffer_returns_is_checked(listened, monkeypatch):
    transforms, buffer = listened
    message = transform("base_link", "camera")
    monkeypatch.setattr(buffer, "lookup_transform", lambda *_: message)
    message.transform.translation.z = math.nan
    with pytest.raises(ValueError, match="not finite"):
        transforms.lookup("base_link", "camera", SECOND)
    message.transform.rotation.w = 0.0
    with pytest.raises(ValueError, match="length 0"):
        transforms.lookup("base_link", "camera", SECOND)


def test_a_mounting_is_broadcast_as_it_is(tf2, node, monkeypatch):
    sent = []

    class Broadcaster:
        def __init__(self, node):
            pass

        def sendTransform(self, transform):  # noqa: N802 - tf2's name
            sent.append(transform)

    monkeypatch.setattr(tf2, "StaticTransformBroadcaster", Broadcaster)
    assert isinstance(broadcast_mounting(node, "camera_optical", MOUNTING), Broadcaster)
    [message] = sent
    assert (message.header.frame_id, message.child_frame_id) == ("base_link", "camera_optical")
    transforms = Transforms(node)
    monkeypatch.setattr(transforms._buffer, "lookup_transform", lambda *_: message)
    found = transforms.lookup("base_link", "camera_optical")
    transforms.close()
    np.testing.assert_allclose(found, optical_pose(**MOUNTING), atol=1e-9)
