import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from panoptic_ros.ros.demo.viewer import Gather


def test_a_stamp_is_complete_with_its_last_topic_in_any_order():
    gather = Gather(["image", "labels"])
    assert gather.add("image", 1, "i1") is None
    assert gather.add("image", 2, "i2") is None
    assert gather.add("labels", 1, "l1") == {"image": "i1", "labels": "l1"}
    assert gather.add("labels", 3, "l3") is None
    assert gather.add("labels", 2, "l2") == {"image": "i2", "labels": "l2"}
    assert gather.add("image", 3, "i3") == {"image": "i3", "labels": "l3"}


def test_what_the_node_dropped_is_forgotten_with_the_next_answer():
    gather = Gather(["image", "labels"])
    gather.add("image", 1, "dropped")
    gather.add("image", 2, "i2")
    gather.add("labels", 2, "l2")
    assert gather.add("labels", 1, "late") is None
