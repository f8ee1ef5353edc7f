"""Recorded bags, without ROS: their messages, and everything readable of damaged ones."""

from panoptic_ros.bags.bag_reader import (
    CAMERA_INFO,
    CLOUD,
    COMPRESSED,
    IMAGE,
    ODOMETRY,
    TF,
    BagMessage,
    BagReader,
    stamp_ns,
)
from panoptic_ros.bags.recording import Entry
from panoptic_ros.bags.storage import Topic

__all__ = [
    "CAMERA_INFO",
    "CLOUD",
    "COMPRESSED",
    "IMAGE",
    "ODOMETRY",
    "TF",
    "BagMessage",
    "BagReader",
    "Entry",
    "Topic",
    "stamp_ns",
]
