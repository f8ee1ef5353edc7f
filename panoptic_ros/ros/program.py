"""What the programs beside the node share: reports to their parent, and an end in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.executors import ExternalShutdownException


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
