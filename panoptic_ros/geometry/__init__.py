"""Cameras, the ground and poses, as arrays; no ROS."""
