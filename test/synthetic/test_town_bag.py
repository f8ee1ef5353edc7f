import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.typesys import Stores, get_typestore

from panoptic_ros.datasets import town as town_data
from panoptic_ros.synthetic import town_bag as bags
from panoptic_ros.synthetic.generate import Job, generate

FRONT = town_data.CAMERAS["front"]


@pytest.fixture(scope="module")
def drive(make_town, tmp_path_factory):
    """Write three frames; return the town, the frames, and (topic, stamp, message) read back."""
    path = tmp_path_factory.mktemp("bag") / "drive"
    town = make_town(8)
    frames = [town.frame(i) for i in range(3)]
    with bags.DriveBag(path, town) as bag:
        for frame in frames:
            bag.add(frame)
    with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
        messages = [
            (c.topic, stamp, reader.deserialize(raw, c.msgtype))
            for c, stamp, raw in reader.messages()
        ]
    return town, frames, messages, path


def of(messages, topic):
    return [m for t, _, m in messages if t == topic]


def test_the_bag_is_an_mcap_with_metadata(drive):
    names = sorted(p.name for p in drive[3].iterdir())
    assert names == ["drive.mcap", "metadata.yaml"]


def test_truth_is_exact_and_images_are_close(drive):
    _, frames, messages, _ = drive
    labels = of(messages, FRONT.labels)
    images = of(messages, FRONT.image)
    assert len(labels) == len(images) == 3
    for frame, truth, image in zip(frames, labels, images, strict=True):
        decoded = cv2.imdecode(truth.data, cv2.IMREAD_UNCHANGED)
        assert decoded.dtype == np.uint16
        np.testing.assert_array_equal(decoded, frame.labels)
        rgb = cv2.cvtColor(cv2.imdecode(image.data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        assert np.abs(rgb.astype(int) - frame.image).mean() < 8


def test_stamps_are_ten_hertz_and_agree(drive):
    _, _, messages, _ = drive
    for topic in (FRONT.image, FRONT.info, FRONT.labels, town_data.ODOMETRY_TOPIC):
        stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in of(messages, topic)]
        assert np.diff(stamps).tolist() == [10**8, 10**8]
        assert stamps[0] == bags.START_NS


def test_calibration_and_mounting_are_the_camera(drive):
    town, _, messages, _ = drive
    info = of(messages, FRONT.info)[0]
    np.testing.assert_allclose(np.reshape(info.k, (3, 3)), town.camera.matrix)
    assert (info.height, info.width) == town.camera.size
    (static,) = of(messages, town_data.STATIC_TF_TOPIC)
    mounting = static.transforms[0]
    assert (mounting.header.frame_id, mounting.child_frame_id) == (
        "base_link",
        "camera_optical_frame",
    )
    q = mounting.transform.rotation
    matrix = _matrix(q.x, q.y, q.z, q.w)
    np.testing.assert_allclose(matrix, town.camera.rotation, atol=1e-9)
    assert mounting.transform.translation.z == pytest.approx(town.camera.position[2])


def test_the_mounting_is_offered_to_late_listeners(drive):
    with AnyReader([drive[3]], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
        offered = {c.topic: c.ext.offered_qos_profiles for c in reader.connections}
    (qos,) = offered[town_data.STATIC_TF_TOPIC]
    assert qos.durability == QosDurability.TRANSIENT_LOCAL
    assert qos.reliability == QosReliability.RELIABLE


def test_odometry_and_tf_follow_the_ego_car(drive):
    _, frames, messages, _ = drive
    for frame, odometry, tf in zip(
        frames,
        of(messages, town_data.ODOMETRY_TOPIC),
        of(messages, town_data.TF_TOPIC),
        strict=True,
    ):
        assert odometry.pose.pose.position.x == pytest.approx(frame.ego.x)
        assert odometry.twist.twist.linear.x == pytest.approx(frame.ego.speed)
        assert tf.transforms[0].transform.translation.y == pytest.approx(frame.ego.y)
        assert tf.transforms[0].child_frame_id == odometry.child_frame_id == "base_link"


def test_an_existing_folder_is_refused(drive):
    with pytest.raises(FileExistsError, match="drive"):
        bags.DriveBag(drive[3], drive[0])


def test_half_a_bag_has_no_bags_name(drive, tmp_path):
    town, frames, _, _ = drive
    with bags.DriveBag(tmp_path / "drive", town) as bag:
        bag.add(frames[0])
        assert not (tmp_path / "drive").exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "drive"]
    half = bags.DriveBag(tmp_path / "other", town).__enter__()
    half.add(frames[0])
    half.__exit__(KeyboardInterrupt)
    assert list(tmp_path.iterdir()) == [tmp_path / "drive"]


def test_a_bag_that_another_has_written_meanwhile_is_left_alone(drive, tmp_path):
    town, frames, _, _ = drive
    bag = bags.DriveBag(tmp_path / "drive", town).__enter__()
    bag.add(frames[0])
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "metadata.yaml").touch()
    with pytest.raises(OSError, match=r"not empty: .*drive"):
        bag.__exit__(None)
    assert [path.name for path in tmp_path.rglob("*")] == ["drive", "metadata.yaml"]


def test_bags_that_are_there_are_told_before_any_is_rendered(tmp_path):
    (tmp_path / "train" / "town_000007").mkdir(parents=True)
    job = Job(tmp_path, "train", (64, 128), 1, 1, bag=True)
    with pytest.raises(FileExistsError, match=r"town_000007 exists \(1 of 3 bags do\)"):
        next(generate(job, range(5, 8), 1))
    assert [path.name for path in tmp_path.rglob("*")] == ["train", "town_000007"]


def _matrix(x, y, z, w):
    """Rotation of a unit quaternion."""
    v = np.array([x, y, z])
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return (w * w - v @ v) * np.eye(3) + 2 * np.outer(v, v) + 2 * w * cross
