"""What the programs beside the node share: reports to their parent, waiting, an end in order."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node


def report(event: str, **values: object) -> None:
    """Tell the parent process an event: a line of JSON that `demo.processes` reads."""
    # One write per line: other threads report too.
    print(json.dumps({"event": event, **values}) + "\n", end="", flush=True)


@contextmanager
def running() -> Iterator[None]:
    """Keep rclpy up for a block, which SIGINT and an end of rclpy from outside end quietly."""
    rclpy.init()
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


def rest(node: Node, seconds: float) -> None:
    """Run a node's callbacks for a while."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        rclpy.spin_once(node, timeout_sec=left)


def wait_for_subscribers(node: Node, topic: str, names: Collection[str]) -> None:
    """Wait until nodes of these names subscribe to a topic."""
    while not set(names) <= {i.node_name for i in node.get_subscriptions_info_by_topic(topic)}:
        rest(node, 0.1)
