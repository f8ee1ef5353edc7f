"""From a callback to a thread that takes the newest frame, each one accounted for; no ROS."""
