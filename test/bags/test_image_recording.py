from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from panoptic_ros.bags.image_recording import open_images

STORE = get_typestore(Stores.ROS2_HUMBLE)
IMAGE, STRING = "sensor_msgs/msg/Image", "std_msgs/msg/String"


def image_message(value, seconds):
    types = STORE.types
    stamp = types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=0)
    header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")
    data = np.full(2 * 3 * 3, value, np.uint8)
    return types[IMAGE](
        header=header, height=2, width=3, encoding="rgb8", is_bigendian=0, step=9, data=data
    )


@pytest.fixture(params=[StoragePlugin.SQLITE3, StoragePlugin.MCAP], ids=["sqlite3", "mcap"])
def bag(request, tmp_path):
    path = tmp_path / "bag"
    with Writer(path, version=9, storage_plugin=request.param) as writer:
        images = writer.add_connection("/camera/image", IMAGE, typestore=STORE)
        words = writer.add_connection("/words", STRING, typestore=STORE)
        for i in range(3):
            data = STORE.serialize_cdr(image_message(10 * i, i), IMAGE)
            writer.write(images, 500_000_000 * i, data)
        word = STORE.types[STRING](data="hello")
        writer.write(words, 0, STORE.serialize_cdr(word, STRING))
    return path


def test_images_come_in_order_with_their_rate(bag):
    recording = open_images(bag, "/camera/image")
    assert recording.count == 3
    assert recording.rate == pytest.approx(2.0)
    images = list(recording.images())
    assert [image.shape for image in images] == [(2, 3, 3)] * 3
    assert [int(image[0, 0, 0]) for image in images] == [0, 10, 20]


@pytest.mark.parametrize("topic", ["/words", "/nothing"])
def test_a_topic_without_images_is_refused_with_those_that_have_some(bag, topic):
    with pytest.raises(ValueError, match=f"no images on {topic}; its image topics: /camera/image"):
        open_images(bag, topic)


def test_a_missing_bag_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no bag .*nothing"):
        open_images(tmp_path / "nothing", "/camera/image")


@pytest.mark.parametrize("name", ["metadata.yaml", "bag.*"])
def test_a_damaged_bag_is_named(bag, name):
    (file,) = bag.glob(name)
    file.write_bytes(b"not a bag")
    with pytest.raises(ValueError, match=f"{bag} is not a bag that can be read"):
        open_images(bag, "/camera/image")


def test_the_shipped_drive_is_one():
    drive = Path(__file__).parents[2] / "sample" / "town_drive"
    recording = open_images(drive, "/camera/image/compressed")
    assert recording.rate == pytest.approx(10.0, rel=0.02)
    assert 60 <= recording.count <= 100
    assert next(recording.images()).shape == (512, 1024, 3)
