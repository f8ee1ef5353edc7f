"""Recorded bags, without ROS: their camera images, and everything readable of damaged ones."""

from panoptic_ros.bags.image_recording import ImageRecording, open_images
from panoptic_ros.bags.recording import Entry, Recording
from panoptic_ros.bags.storage import Topic, UnreadableMessage

__all__ = ["Entry", "ImageRecording", "Recording", "Topic", "UnreadableMessage", "open_images"]
