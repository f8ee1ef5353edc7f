"""Find the message that belongs to an image among those of another sensor."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

from panoptic_ros.stream.stamps import StampMonitor

T = TypeVar("T")

# What a sensor at 30 Hz sends in a second.
LENGTH = 30


class StampMatch(Generic[T]):
    """Keep the last messages of a sensor with their stamps. Safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamps = StampMonitor()
        self._messages: deque[tuple[int, T]] = deque(maxlen=LENGTH)

    def add(self, stamp_ns: int, message: T) -> None:
        """Keep a message; where time has started again, forget the older ones."""
        with self._lock:
            if self._stamps.step_back(stamp_ns) is not None:
                self._messages.clear()
            self._messages.append((stamp_ns, message))

    def reaches(self, stamp_ns: int) -> bool:
        """Return whether a message of this stamp or a later one is there."""
        with self._lock:
            return any(stamp >= stamp_ns for stamp, _ in self._messages)

    def nearest(self, stamp_ns: int, tolerance_ns: int) -> tuple[int, T] | None:
        """Return stamp and message nearest in time, None where that is beyond the tolerance."""
        with self._lock:
            found = min(self._messages, key=lambda m: abs(m[0] - stamp_ns), default=None)
        return found if found and abs(found[0] - stamp_ns) <= tolerance_ns else None
