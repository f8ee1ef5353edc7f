"""The node's process: start, signals and a clean end."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

from panoptic_ros.transports import large_image_settings

if TYPE_CHECKING:
    from panoptic_ros.ros.lifecycle import PanopticNode

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Callbacks take milliseconds, but for the one that loads a model.
EXECUTOR_TIMEOUT_SECONDS = 0.5
SPIN_SECONDS = 0.1
# Before `ros2 launch` sends SIGKILL, 10 s after SIGINT; the others see the node leave before.
LEAVING_SECONDS = 8.0


def main(args: list[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM, then exit with 0; with 1 where it cannot start."""
    # Importing torch takes seconds. Until that is done there is nothing to clean up.
    for number in SIGNALS:
        signal.signal(number, _exit_now)
    # Each text, not each line of code whenever a library touches the filters: strangers' numbers
    # must not fill the log.
    warnings.simplefilter("once", RuntimeWarning)
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from panoptic_ros.ros.lifecycle import PanopticNode

    # The main thread only waits for signals, so that they count even while the executor's
    # thread loads a model and the worker's is in an inference. Not on an event: a handler that
    # sets it while this thread is about to wait for it would never return.
    stop, signals = threading.Event(), list[int]()
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: signals.append(number))
    try:
        # The first participant reads it.
        os.environ |= large_image_settings(os.environ)
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = PanopticNode()
    except Exception as error:
        sys.exit(f"panoptic_node cannot start: {error}")
    executor = threading.Thread(target=_spin, args=(node, stop), daemon=True)
    executor.start()
    while not signals and not stop.is_set():
        time.sleep(SPIN_SECONDS)
    stop.set()
    # Fast DDS may hang while it closes TCP (LARGE_DATA), with Python's lock held: only a thread
    # that does without the lock can end the process then.
    faulthandler.dump_traceback_later(LEAVING_SECONDS, exit=True)
    node.close(timeout=0)
    executor.join(EXECUTOR_TIMEOUT_SECONDS)
    if not executor.is_alive():
        node.destroy_node()
        # The process leaves the network when nothing refers to the node any more. Else
        # others go on seeing it until its lease runs out, 20 s later.
        del node
        gc.collect()
        rclpy.try_shutdown()
    # A thread may be deep in torch, which knows no cancelling: loading a model, or in an
    # inference. Leaving the interpreter in order would wait for it, or tear down what it
    # works on and crash.
    _exit_now()


def _spin(node: PanopticNode, stop: threading.Event) -> None:
    """Run a node's callbacks until the event, whatever they raise."""
    from rclpy.executors import (
        ExternalShutdownException,
        ShutdownException,
        SingleThreadedExecutor,
        TimeoutException,
    )

    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    while not stop.is_set():
        entity: Any = None
        try:
            # Not spin_once, which does not tell whose callback failed. Shutting the context down
            # would end a plain spin, but newer rclpy then takes the node from under a callback
            # that still runs.
            task, entity, _ = executor.wait_for_ready_callbacks(timeout_sec=SPIN_SECONDS)
            task()
            task.result()
        except TimeoutException:
            continue
        except (ExternalShutdownException, ShutdownException):
            stop.set()
        # A message that cannot be converted, a bug, a SystemExit of a library: one callback.
        except BaseException as error:
            node.callback_failed(_name_of(entity), error)


def _name_of(entity: Any) -> str:
    """Return the topic or service of what an executor runs, or else its type; None: its own."""
    if entity is None:
        return "the executor"
    for name in ("topic_name", "service_name", "srv_name"):
        if found := getattr(entity, name, None):
            return str(found)
    return type(entity).__name__


def _exit_now(*_: object) -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
