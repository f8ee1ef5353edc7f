"""Frames from a callback to a thread that takes the newest, each one accounted for; no ROS."""
