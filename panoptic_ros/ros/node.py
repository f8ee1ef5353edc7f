"""The process of the node: start, signals, and an end that is always clean."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from panoptic_ros.ros.lifecycle import PanopticNode

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Together they stay well below the two seconds that a launch system's user waits.
SPIN_TIMEOUT_SECONDS = 0.5
FRAME_TIMEOUT_SECONDS = 0.5


def main(args: list[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM, then exit with 0; with 1 where it cannot start."""
    # Importing torch takes seconds. Until that is done there is nothing to clean up.
    for number in SIGNALS:
        signal.signal(number, _leave_at_once)
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from panoptic_ros.ros.lifecycle import PanopticNode

    # The main thread only waits for signals, so that they count even while the executor's
    # thread loads a model and the worker's is in an inference.
    stop = threading.Event()
    for number in SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = PanopticNode()
    except Exception as error:
        sys.exit(f"panoptic_node cannot start: {error}")
    spinning = _Spinning(node, stop)
    stop.wait()
    worker_ended = node.close(FRAME_TIMEOUT_SECONDS)
    rclpy.try_shutdown()
    executor_ended = spinning.join(SPIN_TIMEOUT_SECONDS)
    if executor_ended:
        node.destroy_node()
    if spinning.error is not None:
        raise spinning.error
    if not (worker_ended and executor_ended):
        # A thread is deep in torch, which knows no cancelling. Leaving the interpreter in
        # order would wait for it, or tear down what it works on and crash.
        _exit_now()


class _Spinning:
    """Run a node's callbacks in a thread; set an event when that ends by itself."""

    def __init__(self, node: PanopticNode, stop: threading.Event) -> None:
        self.error: Exception | None = None
        self._node = node
        self._stop = stop
        self._thread = threading.Thread(target=self._run, name="executor", daemon=True)
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait for the end; return whether it came within so many seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

        executor = SingleThreadedExecutor()
        executor.add_node(self._node)
        try:
            executor.spin()
        except ExternalShutdownException:
            pass
        except Exception as error:
            self.error = error
        finally:
            self._stop.set()


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    _exit_now()


def _exit_now() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
