"""Let SIGINT and SIGTERM end a loop between two iterations."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Of a command that a signal ends, as shells have it: 130 after SIGINT, 143 after SIGTERM.
EXIT_SIGNAL = 128


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Yield a list that SIGINT and SIGTERM append their number to; a second one acts as before.

    Outside the main thread Python handles no signals, and it stays empty.
    """
    stopped: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, _: object) -> None:
        stopped.append(number)
        restore()

    for number in before:
        signal.signal(number, handle)
    try:
        yield stopped
    finally:
        restore()
