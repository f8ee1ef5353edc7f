"""What the node makes of calibration, odometry, depth, points and TF, without DDS between."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import hostile
from geometry_msgs.msg import TransformStamped
from hostile import KINDS, SHAPE, Draw, damaged, ros_message
from opened_bag import OpenedBag

from panoptic_ros.geometry.poses import optical_pose, quaternion
from panoptic_ros.replay.ground_views import GroundViews
from panoptic_ros.ros import ground_inputs
from panoptic_ros.ros.ground_inputs import GroundInputs, VehicleInputs, ViewMissing
from panoptic_ros.ros.parameters import CameraParameters, GroundParameters
from panoptic_ros.stream.stamps import FramesUnderWay

# NumPy's warnings pass every throttle of the log.
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
STAMP = 10**18
CAMERA = {"x": 1.7, "y": 0.0, "z": 1.2, "roll": 0.0, "pitch": 0.0, "yaw": 0.0}
SEED, MUTATIONS = 12, 50
# What moves with the stamps of its messages, and what is asked for by them.
TIMED = ("odom", "depth", "points")


class Node:
    """Stand in for rclpy's node: tell messages to the callbacks at once."""

    def __init__(self):
        self.callbacks = {}
        self.silent = set()

    def create_subscription(self, kind, topic, callback, qos):
        self.callbacks[topic] = callback
        return topic

    def destroy_subscription(self, topic):
        del self.callbacks[topic]

    def get_publishers_info_by_topic(self, topic):
        return []

    def create_timer(self, seconds, callback, clock):
        return None

    def destroy_timer(self, timer):
        pass

    def resolve_topic_name(self, topic):
        return f"/{topic}"

    def count_publishers(self, topic):
        return 0 if topic[1:] in self.silent else 1


class Given:
    """Hold GroundInputs and what it left out, and tell it messages."""

    def __init__(self, **settings):
        self.node, self.left_out = Node(), []
        camera = CameraParameters(
            **{"source": "parameters", **CAMERA, **settings.pop("camera", {})}
        )
        settings = GroundParameters(**{"timeout": 0.0, "camera": camera, **settings})
        self.vehicle = VehicleInputs(self.node, settings)
        self.inputs = self.add("", settings)
        self.node.silent = set(TIMED)
        self.tell("camera_info", hostile.camera_info(STAMP))

    def add(self, camera, settings):
        """Return the inputs of another camera on the vehicle."""
        frames = FramesUnderWay()
        return GroundInputs(self.node, camera, settings, self.vehicle, frames, self.leave_out)

    def leave_out(self, *why):
        self.left_out.append(why)

    def tell(self, topic, message, **changes):
        """Tell a message, of a namespace, with some of its fields changed."""
        vars(message).update(changes)
        self.node.silent.discard(topic)
        self.node.callbacks[topic](ros_message(topic.removeprefix("rear/"), message))

    def mount(self, parent, child, pose, stamp_ns=None):
        """Tell TF of a frame, float [4, 4] in its parent; without a stamp it is static."""
        message = TransformStamped(child_frame_id=child)
        message.header.frame_id = parent
        if stamp_ns is not None:
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        at, turn = message.transform.translation, message.transform.rotation
        at.x, at.y, at.z = pose[:3, 3].tolist()
        turn.x, turn.y, turn.z, turn.w = quaternion(pose[:3, :3])
        self.node.callbacks["/tf_static" if stamp_ns is None else "/tf"](message)

    def drive(self, pose, child, stamp_ns=STAMP):
        """Tell odometry of a frame, float [4, 4]."""
        message = hostile.odom(stamp_ns)
        told = message.pose.pose
        told.position = SimpleNamespace(**dict(zip("xyz", pose[:3, 3].tolist(), strict=True)))
        turn = quaternion(pose[:3, :3])
        told.orientation = SimpleNamespace(**dict(zip("xyzw", turn, strict=True)))
        self.tell("odom", message, child_frame_id=child)

    def view(self, stamp_ns=STAMP):
        return self.inputs.view(stamp_ns, "camera_optical", SHAPE)


@pytest.fixture
def given(tf2):
    """Return what makes GroundInputs with parameters; TF is there, real or fake."""
    return Given


@pytest.fixture
def given_without_tf(domain, monkeypatch):
    monkeypatch.setattr(ground_inputs, "is_available", lambda: False)
    return Given


def turned(yaw, x=0.0, y=0.0, z=0.0):
    pose = np.eye(4)
    pose[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    pose[:3, 3] = x, y, z
    return pose


def assert_pose(pose, x, y, yaw):
    np.testing.assert_allclose((pose.x, pose.y, pose.yaw), (x, y, yaw), atol=1e-6)


# ---- odometry


@pytest.mark.parametrize("yaw", [0.0, math.pi / 4, math.pi / 2])
def test_odometry_of_a_camera_ahead_is_the_vehicles_by_tf(given, yaw):
    """The vehicle turns on the spot: its camera, 1.7 m ahead, goes around it."""
    inputs = given()
    inputs.mount("base_link", "camera_link", turned(0.0, x=1.7))
    inputs.drive(turned(yaw) @ turned(0.0, x=1.7), "camera_link")
    assert_pose(inputs.view().pose, 0, 0, yaw)
    assert inputs.left_out == []


@pytest.mark.parametrize("yaw", [0.0, math.pi / 2])
def test_odometry_of_the_optical_frame_is_the_vehicles_by_parameters(given_without_tf, yaw):
    inputs = given_without_tf(camera={"pitch": 0.1})
    pose = turned(yaw, x=5.0) @ optical_pose(**CAMERA | {"pitch": 0.1})
    inputs.drive(pose, "camera_optical")
    assert_pose(inputs.view().pose, 5, 0, yaw)


def test_odometry_of_one_of_several_cameras_is_the_vehicles(given_without_tf):
    inputs = given_without_tf()
    behind = CameraParameters(source="parameters", **CAMERA | {"yaw": math.pi})
    rear = inputs.add("rear", GroundParameters(timeout=0.0, camera=behind))
    info = hostile.camera_info(STAMP)
    info.header.frame_id = "rear_optical"
    inputs.tell("rear/camera_info", info)
    pose = turned(0.5, x=5.0) @ optical_pose(**CAMERA | {"yaw": math.pi})
    inputs.drive(pose, "rear_optical")
    assert_pose(inputs.view().pose, 5, 0, 0.5)
    assert_pose(rear.view(STAMP, "rear_optical", SHAPE).pose, 5, 0, 0.5)
    inputs.left_out.clear()
    inputs.drive(pose, "nowhere", STAMP + 1)
    # Each camera's diagnostics say so.
    assert [topic for topic, _ in inputs.left_out] == ["odom"] * 2


def test_a_camera_has_one_mounting_however_often_its_frame_is_named_anew(given_without_tf):
    inputs = given_without_tf()
    for number in range(3):
        inputs.inputs.view(STAMP, f"camera_{number}", SHAPE)
    assert list(inputs.vehicle.mountings) == ["camera_2"]


@pytest.mark.parametrize("child", ["base_link", "/base_link", ""])
def test_odometry_of_the_vehicle_is_taken_as_it_is(given_without_tf, child):
    inputs = given_without_tf()
    inputs.drive(turned(0.5, x=3.0, y=-1.0), child)
    assert_pose(inputs.view().pose, 3, -1, 0.5)


@pytest.mark.parametrize("with_tf", [True, False])
def test_odometry_of_a_frame_that_nobody_knows_is_left_out(given, with_tf, monkeypatch):
    monkeypatch.setattr(ground_inputs, "is_available", lambda: with_tf)
    inputs = given()
    inputs.drive(turned(0.0), "somewhere")
    assert inputs.view().pose is None
    [(topic, reason)] = inputs.left_out
    assert topic == "odom"
    assert "no transform from 'somewhere' to 'base_link': " in reason
    assert with_tf or "tf2_ros is not installed" in reason


@pytest.mark.parametrize("x", [math.nan, math.inf, -1e10, 1e300])
def test_odometry_of_a_place_that_cannot_be_is_left_out(given_without_tf, x):
    inputs = given_without_tf()
    message = hostile.odom(STAMP)
    message.pose.pose.position.x = x
    inputs.tell("odom", message)
    assert inputs.view().pose is None
    [(topic, reason)] = inputs.left_out
    assert topic == "odom"
    assert f"[{x}, 0.0, 0.0] is not within 1e+09 m" in reason


@pytest.mark.parametrize(
    ("frame", "child"),
    [
        ("base_link", "odom"),
        ("/base_link", "/odom"),
        ("base_link", "base_link"),
        ("base_link", ""),
        ("odom", "odom"),
    ],
)
def test_odometry_of_frames_that_are_one_or_swapped_is_left_out(given, frame, child):
    """TF would make of them that the vehicle stands, or goes twice as far."""
    inputs = given()
    inputs.mount("odom", "base_link", turned(0.0, x=5.0))
    message = hostile.odom(STAMP)
    message.pose.pose.position.x = 5.0
    inputs.tell("odom", message, header=hostile.header(STAMP, frame), child_frame_id=child)
    assert inputs.view().pose is None
    [(topic, reason)] = inputs.left_out
    assert topic == "odom"
    assert f"its frame_id is {frame!r}" in reason
    assert "are they swapped?" in reason


def test_odometry_in_another_frame_begins_anew(given_without_tf):
    """Two publishers, or one that finds its place in the map."""
    inputs = given_without_tf()
    for stamp_ns, frame in ((STAMP - 1, "odom"), (STAMP + 1, "/map")):
        message = hostile.odom(stamp_ns)
        inputs.tell("odom", message, header=hostile.header(stamp_ns, frame))
    [(topic, reason)] = inputs.left_out
    assert topic == "odom"
    assert "its frame_id was 'odom' and is 'map'" in reason
    with pytest.raises(ViewMissing, match="no odometry on /odom around"):
        inputs.view()
    inputs.tell("odom", hostile.odom(STAMP + 3), header=hostile.header(STAMP + 3, "map"))
    assert inputs.view(STAMP + 2).pose is not None
    assert inputs.vehicle.motion.frame == "map"
    assert len(inputs.left_out) == 1


def test_odometry_is_used_once_its_frame_is_known(given):
    inputs = given()
    inputs.drive(turned(0.0), "camera_link")
    inputs.mount("base_link", "camera_link", turned(0.0, x=1.0))
    inputs.drive(turned(0.0), "camera_link", STAMP + 1)
    assert_pose(inputs.view(STAMP + 1).pose, -1, 0, 0)


def test_no_frame_is_placed_where_good_odometry_stays_out(given_without_tf):
    inputs = given_without_tf()
    inputs.drive(turned(0.0), "base_link")
    with pytest.raises(ViewMissing, match="no odometry on /odom around"):
        inputs.view(STAMP + 10**9)


def test_poses_of_tf_stay_in_its_frame_whatever_odometry_says(given):
    inputs = given(ego_motion="tf", odom_frame="map")
    for stamp_ns, x in ((STAMP, 5.0), (STAMP + 10**7, 6.0)):
        inputs.mount("map", "base_link", turned(0.0, x=x), stamp_ns)
    assert "odom" not in inputs.node.callbacks
    assert_pose(inputs.view().pose, 5, 0, 0)
    assert inputs.vehicle.motion.frame == "map"
    # A metre nearer when the picture was taken, 10 ms before.
    inputs.tell("points", hostile.points(STAMP + 10**7), **one_point(10.0, 0.0, 1.0))
    np.testing.assert_allclose(inputs.view().points, [[11.0, 0.0, 1.0]], atol=1e-6)


# ---- depth and points


def one_point(*xyz):
    """Return the fields of a cloud of one point."""
    data = np.array([xyz], "<f4").tobytes()
    return {"height": 1, "width": 1, "row_step": 12, "data": data}


def depth_values(column):
    """Return 32FC1 data of a picture with one column of depth, 8 m."""
    metres = np.zeros(SHAPE, "<f4")
    metres[:, column] = 8.0
    return metres.tobytes()


@pytest.mark.parametrize("frame", ["camera_optical", "/camera_optical", ""])
def test_depth_of_the_images_frame_is_taken_as_registered(given_without_tf, frame):
    inputs = given_without_tf()
    inputs.tell("depth", hostile.depth(STAMP), header=hostile.header(STAMP, frame))
    assert (inputs.view().depth == 8).all()
    assert inputs.left_out == []


def test_depth_of_another_frame_is_seen_from_the_images(given):
    inputs = given()
    # The depth camera is 0.5 m to the right: 128 px * 0.5 m / 8 m.
    inputs.mount("base_link", "camera_optical", optical_pose(**CAMERA))
    beside = np.eye(4)
    beside[0, 3] = 0.5
    inputs.mount("camera_optical", "depth_optical", beside)
    header = hostile.header(STAMP, "depth_optical")
    inputs.tell("depth_camera_info", hostile.camera_info(STAMP), header=header)
    inputs.tell("depth", hostile.depth(STAMP), header=header, data=depth_values(100))
    depth = inputs.view().depth
    assert inputs.left_out == []
    assert np.unique(np.argwhere(depth)[:, 1]).tolist() == [108]
    assert np.unique(depth[:, 108]).tolist() == [8.0]


@pytest.mark.parametrize(
    ("knows_info", "knows_tf", "words"),
    [
        (False, True, "it is in frame 'depth_optical', the image in 'camera_optical'"),
        (True, False, "no transform from 'depth_optical' to 'camera_optical'"),
    ],
)
def test_depth_of_a_frame_that_is_not_known_gives_way_to_points(given, knows_info, knows_tf, words):
    inputs = given()
    header = hostile.header(STAMP, "depth_optical")
    if knows_info:
        inputs.tell("depth_camera_info", hostile.camera_info(STAMP), header=header)
    if knows_tf:
        inputs.mount("camera_optical", "depth_optical", np.eye(4))
    inputs.tell("depth", hostile.depth(STAMP), header=header)
    inputs.tell("points", hostile.points(STAMP))
    view = inputs.view()
    assert view.depth is None
    assert len(view.points) == 60
    [(topic, reason)] = inputs.left_out
    assert topic == "depth"
    assert words in reason


@pytest.mark.parametrize(
    ("topic", "change"),
    [
        ("points", {"row_step": 0}),
        ("points", {"row_step": 720}),
        ("depth", {"encoding": "mono16", "step": 512, "data": bytes([64, 31]) * 2**15}),
        ("depth", {"step": 0}),
    ],
)
def test_what_drivers_send_and_is_unambiguous_is_used(given_without_tf, topic, change):
    inputs = given_without_tf()
    inputs.tell(topic, getattr(hostile, topic)(STAMP), **change)
    view = inputs.view()
    assert inputs.left_out == []
    assert view.depth is None or (view.depth == 8).all()
    assert view.points is None or len(view.points) == 60


def test_points_of_the_optical_frame_are_placed_by_the_parameters(given_without_tf):
    inputs = given_without_tf()
    header = hostile.header(STAMP, "camera_optical")
    inputs.tell("points", hostile.points(STAMP), header=header, **one_point(0.0, 1.0, 5.0))
    # 5 m ahead of the camera, 1 m below it.
    np.testing.assert_allclose(inputs.view().points, [[6.7, 0.0, 0.2]], atol=1e-6)


@pytest.mark.parametrize("frame", ["base_link", "lidar"])
def test_points_are_levelled_as_the_camera_is(given, frame):
    """The vehicle pitches by 0.1: what its own axes show 10 m ahead lies 1 m lower."""
    inputs = given(camera={"source": "tf"}, level_frame="base_level")
    pitch = optical_pose(0, 0, 0, 0, 0.1, 0) @ np.linalg.inv(optical_pose(0, 0, 0, 0, 0, 0))
    inputs.mount("base_level", "base_link", pitch)
    inputs.mount("base_link", "camera_optical", optical_pose(**CAMERA))
    inputs.mount("base_link", "lidar", turned(0.0, z=2.0))
    header = hostile.header(STAMP, frame)
    z = 0.0 if frame == "base_link" else -2.0
    inputs.tell("points", hostile.points(STAMP), header=header, **one_point(10.0, 0.0, z))
    view = inputs.view()
    expected = [[10 * math.cos(0.1), 0.0, -10 * math.sin(0.1)]]
    np.testing.assert_allclose(view.points, expected, atol=1e-5)
    np.testing.assert_allclose(view.base_from_optical, pitch @ optical_pose(**CAMERA), atol=1e-6)


@pytest.mark.parametrize("frame", ["lidar", ""])
def test_points_of_a_frame_that_nobody_knows_are_left_out(given_without_tf, frame):
    inputs = given_without_tf()
    inputs.tell("points", hostile.points(STAMP), header=hostile.header(STAMP, frame))
    assert inputs.view().points is None
    [(topic, reason)] = inputs.left_out
    assert topic == "points"
    assert f"no transform from {frame!r} to 'base_link'" in reason


@pytest.mark.parametrize("x", [1e30, -1e300])
@pytest.mark.parametrize("topic", ["points", "depth"])
def test_a_sensor_that_is_farther_away_than_any_measures_is_left_out(given, topic, x):
    inputs = given()
    inputs.mount("base_link", "camera_optical", optical_pose(**CAMERA))
    inputs.mount("base_link", "far", turned(0.0, x=x))
    header = hostile.header(STAMP, "far")
    inputs.tell("depth_camera_info", hostile.camera_info(STAMP), header=header)
    inputs.tell(topic, getattr(hostile, topic)(STAMP), header=header)
    assert getattr(inputs.view(), topic) is None
    [(named, reason)] = inputs.left_out
    assert named == topic
    assert "its frame 'far' is at" in reason


# ---- what cannot be right


@pytest.mark.parametrize("topic", TIMED)
@pytest.mark.parametrize(
    ("sec", "nanosec"), [(-1, 0), (-(2**31), 0), (1, 10**9), (0, 2**32 - 1), (-1, 2**32 - 1)]
)
def test_stamps_that_are_no_time_are_left_out(given_without_tf, topic, sec, nanosec):
    inputs = given_without_tf()
    message = getattr(hostile, topic)(STAMP)
    message.header.stamp = SimpleNamespace(sec=sec, nanosec=nanosec)
    inputs.tell(topic, message)
    [(named, reason)] = inputs.left_out
    assert named == topic
    assert f"sec {sec}" in reason
    assert str(nanosec) in reason


GROUND_KINDS = [kind for kind in KINDS if kind[0] not in ("image", "compressed")]


@pytest.mark.parametrize(("topic", "kind"), GROUND_KINDS)
def test_any_damage_leaves_a_view_or_a_reason(given, topic, kind, capfd):
    for number in range(MUTATIONS):
        inputs = given(camera={"source": "tf" if topic == "tf" else "parameters"})
        others = set(TIMED) - {topic} - ({"points"} if topic == "depth" else set())
        for other in sorted(others):
            inputs.tell(other, getattr(hostile, other)(STAMP))
        if topic == "depth_camera_info":
            beside = hostile.header(STAMP, "depth_optical")
            inputs.mount("camera_optical", "depth_optical", np.eye(4))
            inputs.tell("depth", hostile.depth(STAMP), header=beside)
        message = damaged(topic, kind, Draw(SEED, number), STAMP)
        name = "/tf" if topic == "tf" else topic
        inputs.node.silent.discard(name)
        inputs.node.callbacks[name](ros_message(topic, message))
        try:
            view = inputs.view()
        except ViewMissing:
            assert topic in ("camera_info", "odom", "tf"), number
            continue
        assert view.depth is None or np.isfinite(view.depth).all(), number
        assert view.points is None or np.isfinite(view.points).all(), number
        assert np.isfinite(view.base_from_optical).all(), number
        assert all(reason for _, reason in inputs.left_out), number
    assert capfd.readouterr().err == ""


# ---- what a replay of the same messages makes of them


IMAGE = "/camera/image"
BAG_TOPICS = {
    "camera_info": "/camera/camera_info",
    "odom": "/odom",
    "depth": "/depth/image",
    "points": "/points",
}


def same(found, expected):
    if found is None or expected is None:
        return found is expected
    return found.shape == expected.shape and np.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("topic", "kind"),
    [k for k in GROUND_KINDS if k[0] in ("camera_info", "odom", "points", "depth")],
)
def test_a_replay_makes_the_same_of_any_damage(given, topic, kind):
    """What is evaluated is what is deployed, also where inputs are wrong."""
    for number in range(20):
        topics = {"camera_info", "odom", topic}
        told = {name: getattr(hostile, name)(STAMP) for name in topics}
        told[topic] = damaged(topic, kind, Draw(SEED, number), STAMP)
        inputs = given(camera={"source": "tf"})
        mounting = hostile.tf(STAMP)
        inputs.node.callbacks["/tf_static"](ros_message("tf", mounting))
        for name in sorted(topics):
            inputs.tell(name, told[name])
        try:
            view = inputs.view()
        except ViewMissing as missing:
            view = None
            reason = str(missing)
        bag = OpenedBag(
            [
                (topic, kind, STAMP, message)
                for topic, kind, message in (
                    (
                        "/tf_static",
                        "tf2_msgs/msg/TFMessage",
                        SimpleNamespace(transforms=[mounting]),
                    ),
                    *((BAG_TOPICS[n], hostile.TYPES[n], told[n]) for n in sorted(topics)),
                    (IMAGE, hostile.TYPES["image"], hostile.image(STAMP)),
                )
            ]
        )
        replayed = GroundViews(bag, IMAGE)
        (frame,) = bag.messages({IMAGE})
        found = replayed.at(frame, SHAPE)
        if view is None or found is None:
            assert view is found, (number, view is None and reason, replayed.missing())
            continue
        assert found.pose == view.pose, number
        assert same(found.depth, view.depth), (number, inputs.left_out, replayed.missing())
        assert same(found.points, view.points), (number, inputs.left_out, replayed.missing())
