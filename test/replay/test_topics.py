import pytest

from panoptic_ros.replay.topics import COMPRESSED, IMAGE, camera_topic, truth_topic

TRUTH = "/ground_truth/labels/compressed"
KINDS = {"/front/image": IMAGE, TRUTH: COMPRESSED, "/odom": "nav_msgs/msg/Odometry"}


def test_the_only_image_topic_beside_the_truth_is_the_camera():
    assert truth_topic(KINDS, None) == TRUTH
    assert camera_topic(KINDS, None, TRUTH) == "/front/image"


def test_a_bag_without_truth_or_images_has_none():
    assert truth_topic({"/odom": KINDS["/odom"]}, None) is None
    assert camera_topic({"/odom": KINDS["/odom"]}, None, None) is None


def test_several_cameras_need_a_choice():
    kinds = {**KINDS, "/rear/image": COMPRESSED}
    with pytest.raises(ValueError, match=r"choose by --topic: /front/image, /rear/image"):
        camera_topic(kinds, None, TRUTH)
    assert camera_topic(kinds, "/rear/image", TRUTH) == "/rear/image"


@pytest.mark.parametrize("wanted", ["/odom", "/nothing"])
def test_a_wanted_topic_must_have_images(wanted):
    with pytest.raises(ValueError, match=f"--topic {wanted}: no image topic; the bag's: /front"):
        camera_topic(KINDS, wanted, None)
    with pytest.raises(ValueError, match=f"--truth-topic {wanted}: no image topic"):
        truth_topic(KINDS, wanted)
