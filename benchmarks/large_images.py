"""How many large images arrive, best effort, from one process at another, by Fast DDS's transports.

    python benchmarks/large_images.py

Each row is a subscriber's and a publisher's transports: Fast DDS's own (default), LARGE_DATA, or
config/fastdds.xml; `seen` tells whether the subscriber has discovered the publisher.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from array import array

import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from panoptic_ros.demo.surroundings import private_environment
from panoptic_ros.transports import BUILTIN, CHOICES

TRANSPORTS = ("default", "LARGE_DATA", "fastdds.xml")
SIZES = ((1280, 720), (1920, 1200))
RATE, IMAGES, CONNECT_SECONDS = 10.0, 100, 4.0


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--be", choices=("publisher", "subscriber"), help=argparse.SUPPRESS)
    parser.add_argument("--bytes", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.be:
        rclpy.init()
        return _publish(args.bytes) if args.be == "publisher" else _subscribe()
    environment = private_environment()
    discovery = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    print(f"Images rgb8 at {RATE:g} Hz, best effort, discovery range {discovery}\n")
    print("| subscriber | publisher | size | sent | arrived | seen |\n|---|---|---|---|---|---|")
    for subscriber, publisher in itertools.product(TRANSPORTS, TRANSPORTS):
        for width, height in SIZES:
            sent, seen = _pass(environment, subscriber, publisher, 3 * width * height)
            arrived, is_seen = seen["arrived"], "yes" if seen["publishers"] else "no"
            words = (subscriber, publisher, f"{width}x{height}", sent["sent"], arrived, is_seen)
            print("| " + " | ".join(map(str, words)) + " |", flush=True)
    return 0


def _pass(
    environment: dict[str, str], subscriber: str, publisher: str, size: int
) -> tuple[dict[str, int], dict[str, int]]:
    """Return what publisher and subscriber report at their end."""
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--be", role, "--bytes", str(size)],
            env=_with_transports(environment, transports),
            stdout=subprocess.PIPE,
        )
        for role, transports in (("publisher", publisher), ("subscriber", subscriber))
    ]
    sent, seen = (json.loads(process.communicate()[0]) for process in processes)
    return sent, seen


def _with_transports(environment: dict[str, str], transports: str) -> dict[str, str]:
    if transports == "fastdds.xml":
        return environment
    others = {name: value for name, value in environment.items() if name not in CHOICES}
    return others if transports == "default" else {**others, BUILTIN: transports}


def _publish(size: int) -> int:
    node = rclpy.create_node("publisher")
    publisher = node.create_publisher(Image, "image", qos_profile_sensor_data)
    message = Image(data=array("B", bytes(size)))
    start = time.monotonic() + CONNECT_SECONDS
    for i in range(IMAGES):
        time.sleep(max(0.0, start + i / RATE - time.monotonic()))
        publisher.publish(message)
    time.sleep(CONNECT_SECONDS)
    return _end(sent=IMAGES)


def _subscribe() -> int:
    node = rclpy.create_node("subscriber")
    sizes: list[int] = []
    node.create_subscription(
        Image, "image", lambda image: sizes.append(len(image.data)), qos_profile_sensor_data
    )
    # Ends after the last image, and before its publisher.
    end = time.monotonic() + 1.5 * CONNECT_SECONDS + IMAGES / RATE
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    return _end(arrived=len(sizes), publishers=node.count_publishers("image"))


def _end(**report: int) -> int:
    print(json.dumps(report), flush=True)
    # Fast DDS may hang while it closes TCP.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
