import re
from types import SimpleNamespace

import hostile
import numpy as np
import pytest
from made_bags import (
    CAMERA,
    INFO,
    SIZE,
    START,
    STEP,
    cloud,
    depth,
    info,
    odometry,
    picture,
    raw,
    static_tf,
    write,
)
from opened_bag import OpenedBag
from rosbags.rosbag2 import StoragePlugin

from panoptic_ros.bags import BagReader
from panoptic_ros.geometry.poses import optical_pose
from panoptic_ros.replay.ground_views import GroundViews

MIDDLE = START + STEP // 2
FRAME = (CAMERA, MIDDLE, raw(MIDDLE, picture(0)))
CALIBRATION = (INFO, MIDDLE, info(MIDDLE))
PLACE = ("/tf_static", START, static_tf())
# Drives 2 m and turns left.
TURN = 0.8
DRIVE = [
    ("/odom", START, odometry(START, 0.0)),
    ("/odom", START + STEP, odometry(START + STEP, 2.0, TURN)),
]


@pytest.fixture
def view(tmp_path):
    """Return a function: of the only frame among some messages the view and what is missing."""

    def look_up(*messages, size=SIZE):
        write(tmp_path / "bag", list(messages), StoragePlugin.MCAP)
        with BagReader(tmp_path / "bag") as bag:
            views = GroundViews(bag, CAMERA)
            (frame,) = bag.messages({CAMERA})
            return views.at(frame, size), views.missing(), views.odom_frame

    return look_up


def test_camera_mounting_and_pose_of_a_frames_stamp(view):
    found, missing, odom = view(FRAME, CALIBRATION, PLACE, *DRIVE)
    assert (missing, odom) == ([], "odom")
    assert found.camera.matrix.tolist() == [[80, 0, 48], [0, 80, 32], [0, 0, 1]]
    np.testing.assert_allclose(
        found.base_from_optical, optical_pose(1.5, 0, 1.2, 0, 0, 0), atol=1e-9
    )
    assert (found.pose.x, found.pose.yaw) == pytest.approx((1.0, TURN / 2))
    assert found.depth is found.points is None


def test_without_odometry_there_is_no_pose(view):
    found, missing, _ = view(FRAME, CALIBRATION, PLACE)
    assert found.pose is None
    assert missing == []


def test_odometry_of_another_frame_is_moved_to_base_link(view):
    ahead = [(t, time, odometry(time, 5.0, 0.0, "imu")) for t, time, _ in DRIVE]
    imu = ("/tf_static", START, static_tf(2.0, 0.0, "imu", (0.0, 0.0, 0.0, 1.0)))
    found, _, _ = view(FRAME, CALIBRATION, PLACE, imu, *ahead)
    assert (found.pose.x, found.pose.y, found.pose.yaw) == pytest.approx((3.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([FRAME, PLACE], "the bag has no CameraInfo of the camera"),
        ([FRAME, CALIBRATION, PLACE, DRIVE[0]], "no odometry on /odom around the image's stamp"),
        ([FRAME, (INFO, MIDDLE, info(MIDDLE, 0.0)), PLACE], "no positive focal lengths"),
    ],
)
def test_what_keeps_a_frame_from_its_place_is_told(view, messages, reason):
    found, (line,), _ = view(*messages)
    assert found is None
    assert re.match(f"1 frames cannot be placed on the ground: .*{reason}", line)


def odometries(*poses, frame="odom", child="base_link"):
    """Return odometry at (stamp in steps from START, x)."""
    found = []
    for steps, x in poses:
        message = odometry(START + round(steps * STEP), x, 0.0, child)
        message.header.frame_id = frame
        found.append(("/odom", START + round(steps * STEP), message))
    return found


def seen(*messages):
    """Return what is known about each frame among some messages, and what is missing."""
    kinds = [
        (topic, m.__msgtype__, time, m) for topic, time, m in sorted(messages, key=lambda m: m[1])
    ]
    bag = OpenedBag(kinds)
    views = GroundViews(bag, CAMERA)
    found = [views.at(frame, SIZE) for frame in bag.messages({CAMERA})]
    assert bag.problems == []
    return found, views.missing(), views.odom_frame


@pytest.mark.parametrize(
    ("frame", "child"), [("base_link", "odom"), ("/base_link", "odom"), ("imu", "imu")]
)
def test_odometry_of_swapped_frames_is_left_out(frame, child):
    moved = odometries((0, 0.0), (1, 1.0), frame=frame, child=child)
    (view,), lines, _ = seen(FRAME, CALIBRATION, PLACE, *moved)
    assert view.pose is None
    (line,) = lines
    assert line.startswith(f"2 messages on /odom are left out: its frame_id is {frame!r}")
    assert "are they swapped?" in line


def test_odometry_that_is_no_pose_is_left_out_and_the_rest_counts():
    bad = odometries((0.5, 1.0), (0.6, 1.0))
    for _, _, message in bad:
        message.pose.pose.orientation.w = message.pose.pose.orientation.z = 0.0
    (view,), (line,), _ = seen(FRAME, CALIBRATION, PLACE, *odometries((0, 0.0), (1, 2.0)), *bad)
    assert view.pose.x == pytest.approx(1.0)
    assert line.startswith("2 messages on /odom are left out: quaternion [0.0, 0.0, 0.0, 0.0]")


@pytest.mark.parametrize(
    "poses",
    [
        pytest.param([(0, 0.0), (1, 50.0)], id="jump"),
        pytest.param([(-20, 0.0), (2, 1.0)], id="gap"),
        pytest.param([(1, 0.0), (2, 1.0)], id="later"),
    ],
)
def test_odometry_of_which_no_pose_can_be_made_is_no_place(poses):
    (view,), (line,), _ = seen(FRAME, CALIBRATION, PLACE, *odometries(*poses))
    assert view is None
    assert line.startswith("1 frames cannot be placed on the ground: no odometry on /odom around")


def test_odometry_that_changes_its_frame_begins_anew():
    times = [START + STEP // 2, START + 5 * STEP // 2]
    frames = [(CAMERA, time, raw(time, picture(0))) for time in times]
    moved = [*odometries((0, 0.0), (1, 1.0)), *odometries((2, 70.0), (3, 71.0), frame="/map")]
    views, (line,), odom = seen(*frames, CALIBRATION, PLACE, *moved)
    assert [view.pose.x for view in views] == pytest.approx([0.5, 70.5])
    assert (line.split(":")[0], odom) == ("1 messages on /odom are left out", "map")
    assert "its frame_id was 'odom' and is 'map'" in line


def test_time_that_starts_again_is_followed():
    """A simulator that is reset: stamps go back, the log goes on."""
    moved, frames = [], []
    for run, log in enumerate((START, START + 100 * STEP)):
        for _, stamp, message in odometries((0, 10.0 * run), (15, 10.0 * run + 15.0)):
            moved.append(("/odom", log + stamp - START, message))
        frames.append((CAMERA, log + STEP // 2, FRAME[2]))
    views, missing, _ = seen(*frames, CALIBRATION, PLACE, *moved)
    assert [view.pose.x for view in views] == pytest.approx([0.5, 10.5])
    assert missing == []


def moving_tf(*stamps, topic="/tf"):
    """Return TF from odom to base_link, a metre per step, at stamps in steps from START."""
    found = []
    for steps in stamps:
        time = START + round(steps * STEP)
        message = static_tf(float(steps), 0.0, "base_link", (0.0, 0.0, 0.0, 1.0))
        message.transforms[0].header.frame_id = "odom"
        message.transforms[0].header.stamp = info(time).header.stamp
        found.append((topic, time, message))
    return found


def test_tf_from_odom_stands_in_for_odometry_where_it_was_recorded():
    (view,), missing, _ = seen(FRAME, CALIBRATION, PLACE, *moving_tf(0, 1))
    assert (view.pose.x, missing) == (pytest.approx(0.5), [])
    (view,), (line,), _ = seen(FRAME, CALIBRATION, PLACE, *moving_tf(1, 2))
    assert view is None
    assert "no transform from 'base_link': 1700000000.050 s is outside of what was" in line


def test_tf_of_a_robot_with_a_namespace():
    place = ("/robot/tf_static", START, PLACE[2])
    (view,), missing, _ = seen(FRAME, CALIBRATION, place, *moving_tf(0, 1, topic="/robot/tf"))
    assert (view.base_from_optical[0, 3], view.pose.x) == pytest.approx((1.5, 0.5))
    assert missing == []


@pytest.mark.parametrize(
    ("what", "topics", "message"),
    [
        ("odometry", ["/odom", "/odom2"], DRIVE[0][2]),
        ("depth", ["/depth", "/rear/depth"], depth(MIDDLE)),
        ("points", ["/front", "/rear"], cloud(MIDDLE, [[3.0, 0.0, 1.0]])),
    ],
)
def test_of_several_topics_none_is_taken_and_that_is_told(what, topics, message):
    several = [(topic, MIDDLE, message) for topic in topics]
    (view,), (line,), _ = seen(FRAME, CALIBRATION, PLACE, *several)
    assert view.pose is view.depth is view.points is None
    topics = ", ".join(topics)
    assert line.startswith(f"no {what} is taken, as the bag has several topics of it: {topics};")


def test_calibrations_of_other_folders_are_named():
    others = [(f"/{side}/camera_info", MIDDLE, CALIBRATION[2]) for side in ("left", "right")]
    _, (line,), _ = seen(FRAME, PLACE, *others)
    assert line.endswith(
        "of /left/camera_info, /right/camera_info none is in the folder of " + CAMERA
    )


def test_zero_is_a_stamp():
    frame, measured = (CAMERA, START, raw(0, picture(0))), ("/depth", START, depth(0, 4.0))
    (view,), missing, _ = seen(frame, CALIBRATION, PLACE, measured)
    assert (view.depth.max(), missing) == (4.0, [])


def test_a_transform_that_is_none_is_told():
    none = static_tf(turn=(0.0, 0.0, 0.0, 0.0))
    (view,), lines, _ = seen(FRAME, CALIBRATION, ("/tf_static", START, none))
    assert view is not None
    assert lines[0].startswith("1 transforms are left out: quaternion [0.0, 0.0, 0.0, 0.0]")


@pytest.mark.parametrize("other", [[], [("/tf_static", START, static_tf(child="lidar"))]])
def test_without_tf_the_camera_is_where_the_nodes_parameters_say(view, other):
    found, (line,), _ = view(FRAME, CALIBRATION, *other)
    mounted = optical_pose(1.7, 0, 1.22, 0, 0.038, 0)
    np.testing.assert_allclose(found.base_from_optical, mounted)
    assert line.startswith("1 frames are placed by the default of the node's parameters, Mounting(")
    assert line.endswith("no TF leads from 'camera' to 'base_link'")


def test_without_tf_odometry_and_points_of_the_camera_follow_the_parameters(view):
    moved = [(t, time, odometry(time, 5.0, 0.0, "camera")) for t, time, _ in DRIVE]
    points = ("/points", MIDDLE, cloud(MIDDLE, [[0.0, 0.0, 2.0]], "camera"))
    found, (_,), _ = view(FRAME, CALIBRATION, points, *moved)
    mounted = optical_pose(1.7, 0, 1.22, 0, 0.038, 0)
    np.testing.assert_allclose(found.points, [(mounted @ [0, 0, 2, 1])[:3]], rtol=1e-6)
    place = np.linalg.inv(mounted)[:2, 3]
    assert (found.pose.x, found.pose.y) == pytest.approx((5 + place[0], place[1]))


def test_a_calibration_of_another_shape_is_not_the_cameras(view):
    found, (line,), _ = view(FRAME, CALIBRATION, PLACE, size=(64, 64))
    assert found is None
    assert "camera_info is of 96x64 pixels" in line


def test_depth_of_the_frames_stamp(view):
    late = [("/depth", MIDDLE + lag, depth(MIDDLE + lag, m)) for lag, m in ((0, 4.0), (10**7, 9.0))]
    found, missing, _ = view(FRAME, CALIBRATION, PLACE, *late)
    assert missing == []
    assert found.depth.shape == SIZE
    assert (found.depth == 4.0).all()


def test_depth_of_another_camera_is_registered(view):
    # 1 m behind the camera: what is 5 m from it is 4 m ahead.
    behind = ("/tf_static", START, static_tf(0.5, child="depth"))
    calibration = ("/depth/camera_info", MIDDLE, info(MIDDLE))
    image = ("/depth/image", MIDDLE, depth(MIDDLE, 5.0, "depth"))
    found, missing, _ = view(FRAME, CALIBRATION, PLACE, behind, calibration, image)
    assert missing == []
    assert found.depth[32, 48] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (("/depth", MIDDLE, depth(MIDDLE, frame="depth")), "it is in frame 'depth', the image"),
        (("/depth", MIDDLE, depth(MIDDLE + STEP)), "nothing on /depth within 0.05 s"),
        (("/points", MIDDLE, cloud(MIDDLE, [[1, 2, 3]], "lidar")), "no transform from 'lidar'"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_told(view, message, reason):
    found, (line,), _ = view(FRAME, CALIBRATION, PLACE, message)
    assert found.depth is found.points is None
    what = "points" if message[0] == "/points" else "depth"
    assert line.startswith(f"1 frames are placed without {what}: {reason}")


def test_points_stand_in_for_depth_that_cannot_be_used(view):
    wrong = ("/depth", MIDDLE, depth(MIDDLE, frame="depth"))
    points = ("/points", MIDDLE, cloud(MIDDLE, [[3.0, 0.0, 1.0]]))
    found, (line,), _ = view(FRAME, CALIBRATION, PLACE, wrong, points)
    assert found.depth is None
    assert found.points.tolist() == [[3.0, 0.0, 1.0]]
    assert line.startswith("1 frames are placed without depth: it is in frame 'depth'")


def test_points_are_of_base_link_at_the_frames_stamp(view):
    later = MIDDLE + STEP // 4
    points = ("/points", later, cloud(later, [[3.0, 0.0, 1.0]]))
    still = [(t, time, odometry(time, 4.0 * i)) for i, (t, time, _) in enumerate(DRIVE)]
    found, missing, _ = view(FRAME, CALIBRATION, PLACE, points, *still)
    assert missing == []
    # The car has come 1 m further until they were measured.
    np.testing.assert_allclose(found.points, [[4.0, 0.0, 1.0]], rtol=1e-6)


# ---- what cannot be right


TOPICS = {
    "image": CAMERA,
    "camera_info": INFO,
    "depth_camera_info": "/depth/camera_info",
    "points": "/points",
    "depth": "/depth/image",
    "odom": "/odom",
    "tf": "/tf",
}


def frame_messages(time, names, damage):
    """Return a frame's messages, of each topic; damage: a name's message in place of the right."""
    found = []
    for name in names:
        make = getattr(hostile, name.removeprefix("depth_") if "info" in name else name)
        message, kind = damage.get(name) or make(time), hostile.TYPES[name]
        if name == "tf":
            message, kind = SimpleNamespace(transforms=[message]), "tf2_msgs/msg/TFMessage"
        found.append((TOPICS[name], kind, time, message))
    return found


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("beside", [("depth", "depth_camera_info"), ("points",)])
def test_any_damage_in_a_bag_leaves_a_view_or_a_reason(beside):
    """Each kind of damage, in a bag of its own between two frames that are right."""
    names = ("image", "camera_info", "odom", "tf", *beside)
    for topic, kind in (k for k in hostile.KINDS if k[0] in names[1:]):
        for number in range(10):
            times = [START + i * STEP for i in range(3)]
            damaged = hostile.damaged(topic, kind, hostile.Draw(7, number), times[1])
            messages = [
                m
                for t in times
                for m in frame_messages(t, names, {topic: damaged} if t == times[1] else {})
            ]
            bag = OpenedBag(messages)
            views = GroundViews(bag, CAMERA)
            for frame in bag.messages({CAMERA}):
                view = views.at(frame, hostile.SHAPE)
                if view is None:
                    assert views.missing(), (topic, kind, number)
                    continue
                assert np.isfinite(view.base_from_optical).all(), (topic, kind, number)
                assert view.depth is None or np.isfinite(view.depth).all(), (topic, kind, number)
                assert view.points is None or np.isfinite(view.points).all(), (topic, kind, number)
