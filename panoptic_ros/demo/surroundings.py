"""What processes that speak ROS with each other need around them."""

from __future__ import annotations

import importlib.util
import os
import random
import socket
from collections.abc import Mapping

from panoptic_ros.demo.processes import DemoError
from panoptic_ros.transports import CHOICES, large_image_settings

# The ports of higher domains lie in Linux's ephemeral range.
_LAST_DOMAIN = 101


def require_ros() -> None:
    """Raise DemoError where there is no rclpy."""
    if importlib.util.find_spec("rclpy") is None:
        raise DemoError("ROS 2 is not on Python's path; run `source env.sh` first")


def private_environment() -> dict[str, str]:
    """Return an environment in which the processes see only each other."""
    others = {name: value for name, value in os.environ.items() if name not in CHOICES}
    return {**others, **large_image_settings(others), "ROS_DOMAIN_ID": str(_free_domain())}


def ros_arguments(
    parameters: Mapping[str, object], remaps: Mapping[str, str] | None = None
) -> list[str]:
    """Return parameters and remappings as a node's arguments."""
    settings = [text for k, v in parameters.items() for text in ("-p", f"{k}:={v}")]
    moved = [text for k, v in (remaps or {}).items() for text in ("-r", f"{k}:={v}")]
    return ["--ros-args", *settings, *moved]


def _free_domain() -> int:
    """Return a domain whose first participant's port is free (DDSI-RTPS 9.6.1.1)."""
    for domain in random.sample(range(1, _LAST_DOMAIN + 1), _LAST_DOMAIN):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7410 + 250 * domain))
            except OSError:
                continue
            return domain
    raise DemoError("all ROS domains of this machine are in use")
