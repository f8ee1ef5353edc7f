"""Play a bag's camera, with calibration, odometry and TF, in real time; stamps as recorded.

Reports, one JSON object per line: {"event": "playing", "frames": n} at the start, {"event":
"published", "stamp_ns"} after each image, {"event": "played", "problems": [...]} at the end.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile

from panoptic_ros.bags import BagMessage, stamp_ns
from panoptic_ros.replay.source import COPIED_KINDS, BagSource, is_ros_name
from panoptic_ros.ros.conversions import message_type
from panoptic_ros.ros.program import report, rest, running, wait_for_subscribers

# What is published while the middleware still connects is lost.
_CONNECT_SECONDS = 2.0
_DEPTH = 10
_LATCHED_TOPIC = "/tf_static"
# Nobody waits longer; a clock that is set in between leaves decades.
_LONGEST_PAUSE_NS = 600 * 10**9


class Player(Node):
    """Publish a bag's messages as recorded, byte by byte."""

    def __init__(self, source: BagSource) -> None:
        super().__init__("replay_player")
        self._source = source
        self._publishers_of = {
            topic: publisher
            for topic, kind in source.bag.kinds.items()
            if (topic == source.camera or kind in COPIED_KINDS)
            and (publisher := self._publisher(topic, kind))
        }

    def wait_for(self, names: list[str]) -> None:
        """Wait until nodes of these names subscribe to the camera's topic."""
        wait_for_subscribers(self, self._source.camera or "", names)
        rest(self, _CONNECT_SECONDS)

    def play(self, rate: float) -> None:
        """Publish everything at the pace of its log times; rate: how much faster."""
        source, start = self._source, time.monotonic()
        entries = source.bag.entries(self._publishers_of)
        messages = (found for entry in entries if (found := source.read(entry)))
        for seconds, message in timeline(messages, source.problems):
            rest(self, start + seconds / rate - time.monotonic())
            self._publishers_of[message.topic].publish(message.data)
            if message.topic == self._source.camera:
                report("published", stamp_ns=stamp_ns(message.message.header))

    def _publisher(self, topic: str, kind: str) -> Publisher | None:
        if not is_ros_name(topic):
            words = "is not played, as ROS 2 has no topics of such names"
            self._source.problems.append(f"{topic!r} {words}")
            return None
        try:
            of_kind = message_type(kind)
        except ModuleNotFoundError:
            # TF's messages: where they are not installed, nothing can subscribe to them.
            return None
        durability = (
            DurabilityPolicy.TRANSIENT_LOCAL
            if topic == _LATCHED_TOPIC
            else DurabilityPolicy.VOLATILE
        )
        qos = QoSProfile(depth=_DEPTH, durability=durability)
        return self.create_publisher(of_kind, topic, qos)


def timeline(
    messages: Iterable[BagMessage], problems: list[str]
) -> Iterator[tuple[float, BagMessage]]:
    """Yield when each message is to be played, seconds, and the message; too long a pause is told.

    problems: grows.
    """
    before, played_ns = None, 0
    for message in messages:
        pause_ns = 0 if before is None else message.time - before
        before = message.time
        if pause_ns <= _LONGEST_PAUSE_NS:
            played_ns += pause_ns
        else:
            problems.append(
                f"{message.topic} at {message.time / 1e9:.6f} s: nothing was logged in the "
                f"{pause_ns / 1e9:.0f} s before, which are left out; was the clock set?"
            )
        yield played_ns / 1e9, message


def main() -> None:
    """Play a bag once, then stay until interrupted: reliable messages may be on their way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bag", type=Path)
    parser.add_argument("--topic", help="camera topic (default: the bag's only one)")
    parser.add_argument("--truth-topic", help="left out, like all other images")
    parser.add_argument("--rate", type=float, default=1.0, help="how much faster (default: 1)")
    parser.add_argument("--wait-for", nargs="*", default=[], metavar="NODE", help="subscribers")
    args = parser.parse_args()
    with running():
        with BagSource(args.bag, args.topic, args.truth_topic) as source:
            player = Player(source)
            player.wait_for(args.wait_for)
            report("playing", frames=source.frames)
            player.play(args.rate)
            report("played", problems=source.problems)
        rclpy.spin(player)


if __name__ == "__main__":
    main()
