import os

import numpy as np
import pytest
from made_bags import CAMERA, START, STEP, TRUTH, compressed, info, picture, raw, write
from rosbags.rosbag2 import StoragePlugin

from panoptic_ros.messages import ImageRefused
from panoptic_ros.replay.source import BagSource, camera_image, is_ros_name, paired_by_time

MCAP = StoragePlugin.MCAP
REAR, DEPTH = "/rear/image", "/camera/depth/image"
LABELS = np.full((64, 96), 7, np.uint16)
STAMP = START


@pytest.mark.parametrize(
    ("frames", "truths", "pairs"),
    [
        ([0, 100, 200], [0, 100, 200], [(0, 0), (1, 1), (2, 2)]),
        ([0, 100, 200], [9, 105, 208], [(0, 0), (1, 1), (2, 2)]),
        ([0, 100, 200], [100, 0, 200], [(0, 1), (1, 0), (2, 2)]),
        ([0, 100, 200], [200], [(2, 0)]),
        ([100], [0, 101], [(0, 1)]),
        # Of which frame a truth is that lies between two is not known.
        ([0, 100, 200], [50, 150, 250], []),
        # Truths that lag by most of a period are nearest to the next frame.
        ([0, 100, 200], [80, 180, 280], []),
        ([0, 0, 0], [0, 0, 0], []),
        ([0, 0, 100], [0, 100], []),
        ([0, 100], [0, 0], []),
        ([], [0, 1], []),
        ([0], [], []),
    ],
)
def test_log_times_pair_what_is_surely_one_frames(frames, truths, pairs):
    assert paired_by_time(frames, truths) == pairs


def bag(path, frames, truths, plugin=MCAP):
    """Write frames and truths, each (stamp, log time)."""
    images = [(CAMERA, time, raw(stamp, picture(0))) for stamp, time in frames]
    labels = [(TRUTH, time, compressed(stamp, LABELS)) for stamp, time in truths]
    return write(path, images + labels, plugin)


def times(pairs):
    return [(frame.time - START, truth.time - START) for frame, truth in pairs.items()]


def test_frames_of_equal_stamps_are_paired_by_log_time(tmp_path):
    at = [(STAMP, START + i * STEP) for i in range(3)]
    later = [(STAMP, time + 1000) for _, time in reversed(at)]
    with BagSource(bag(tmp_path / "bag", at, later)) as source:
        assert times(source.truths()) == [(i * STEP, i * STEP + 1000) for i in range(3)]
        assert source.problems == []
        assert source.truth_by_stamp() == {}


@pytest.mark.parametrize("stamp", [STAMP, 0])
def test_what_log_times_leave_open_is_not_scored_but_named(tmp_path, stamp):
    frames = [(stamp, START)] * 3 + [(stamp + STEP, START)]
    truths = [(stamp, START)] * 3 + [(stamp + STEP, START + STEP)]
    with BagSource(bag(tmp_path / "bag", frames, truths)) as source:
        # The fourth has a stamp of its own.
        assert times(source.truths()) == [(0, STEP)]
        (problem,) = source.problems
        assert problem.startswith(f"not scored: the stamps {stamp / 1e9:.9f} s belong to several")
        assert CAMERA in problem
        assert list(source.truth_by_stamp()) == [stamp + STEP]


def test_a_bag_without_truth_has_no_pairs(tmp_path):
    with BagSource(bag(tmp_path / "bag", [(STAMP, START)], [])) as source:
        assert (source.camera, source.truth, source.truths()) == (CAMERA, None, {})


def cameras(path, *topics):
    messages = [(topic, START, raw(START, picture(0))) for topic in topics]
    labels = (TRUTH, START, compressed(START, LABELS))
    return write(path, [*messages, ("/camera/camera_info", START, info(START)), labels], MCAP)


def test_the_only_image_topic_beside_truth_and_depth_is_the_camera(tmp_path):
    with BagSource(cameras(tmp_path / "bag", CAMERA, DEPTH)) as source:
        assert (source.camera, source.truth, source.frames) == (CAMERA, TRUTH, 1)


@pytest.mark.parametrize("topic", [f"{DEPTH}/compressedDepth", f"{DEPTH}/compressed"])
def test_compressed_depth_is_no_camera(tmp_path, topic):
    images = [(CAMERA, raw(START, picture(0))), (topic, compressed(START, LABELS))]
    messages = [(name, START, message) for name, message in images]
    with BagSource(write(tmp_path / "bag", messages, MCAP)) as source:
        assert source.camera == CAMERA
    with BagSource(write(tmp_path / "depth", messages[1:], MCAP)) as source:
        (problem,) = source.problems
        assert "called depth only by --topic" in problem


def test_a_stamp_that_is_no_time_is_refused_as_in_the_node(tmp_path):
    message = raw(START, picture(0))
    message.header.stamp.sec = -1
    with BagSource(write(tmp_path / "bag", [(CAMERA, START, message)], MCAP)) as source:
        (frame,) = source.bag.messages({CAMERA})
        with pytest.raises(ImageRefused, match="stamp sec -1, nanosec 0 is no time"):
            camera_image(frame)


@pytest.mark.parametrize(
    ("topic", "is_name"),
    [("/a/b_2", True), ("/_a", True), ("a", False), ("/a/", False), ("/2a", False), ("/ü", False)],
)
def test_names_of_topics_that_ros_takes(topic, is_name):
    assert is_ros_name(topic) == is_name


def test_several_cameras_need_a_choice(tmp_path):
    path = cameras(tmp_path / "bag", CAMERA, REAR)
    with pytest.raises(ValueError, match=rf"choose by --topic: {CAMERA}, {REAR}"):
        BagSource(path)
    with BagSource(path, REAR) as source:
        assert source.camera == REAR


def test_why_a_wanted_topic_may_be_missing_is_told(tmp_path):
    (file,) = cameras(tmp_path / "bag", CAMERA).glob("*.mcap")
    os.truncate(file, 60)
    with pytest.raises(ValueError, match=f"the bag's: none; {file} at byte 43"):
        BagSource(file, CAMERA)


@pytest.mark.parametrize("wanted", ["/camera/camera_info", "/nothing"])
def test_a_wanted_topic_must_have_images(tmp_path, wanted):
    path = cameras(tmp_path / "bag", CAMERA)
    with pytest.raises(ValueError, match=f"--topic {wanted}: no image topic; the bag's: {CAMERA}"):
        BagSource(path, wanted)
    with pytest.raises(ValueError, match=f"--truth-topic {wanted}: no image topic"):
        BagSource(path, None, wanted)
