"""Stamps of messages: as numbers, where time starts again, what belongs to one; gaps."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

LARGEST_STEP_BACK_NS = 1_000_000_000
# What a sensor at 30 Hz sends in a second.
MATCH_LENGTH = 30
# Of one camera: in the networks, before the ground's thread, and in it.
_FRAMES_IN_WORK = 3
MOST_SENDERS = 16
_SECOND_NS = 1_000_000_000


class Stamp(Protocol):
    """Name the fields of builtin_interfaces/Time."""

    sec: int
    nanosec: int


def nanoseconds(stamp: Stamp) -> int:
    """Return a stamp as nanoseconds.

    Raise ValueError for what is no time: `sec` may be negative in a message and `nanosec` above
    a second, and drivers do send such.
    """
    seconds, nanosec = int(stamp.sec), int(stamp.nanosec)
    if seconds < 0 or not 0 <= nanosec < _SECOND_NS:
        raise ValueError(
            f"stamp sec {seconds}, nanosec {nanosec} is no time: sec must be 0 or more, nanosec "
            f"less than {_SECOND_NS}"
        )
    return seconds * _SECOND_NS + nanosec


class StampMonitor:
    """Compare each frame's stamp with the newest one so far.

    newest: None before the first.
    """

    def __init__(self) -> None:
        self.newest: int | None = None

    def step_back(self, stamp_ns: int) -> float | None:
        """Return by how many seconds a stamp lies before the newest, where by more than one.

        Time counts from that stamp then. Otherwise return None: frames that overtake each
        other on the way are common.
        """
        newest, self.newest = self.newest, stamp_ns
        if newest is None:
            return None
        if stamp_ns < newest - LARGEST_STEP_BACK_NS:
            return (newest - stamp_ns) / 1e9
        self.newest = max(newest, stamp_ns)
        return None


class FramesUnderWay:
    """Hold the stamps of a camera's frames that have come and are not placed on the ground yet.

    Safe across threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[int] = []
        self._in_work: deque[int] = deque(maxlen=_FRAMES_IN_WORK)

    def wait(self, stamp_ns: int) -> None:
        """Note a frame that waits for the networks, in the place of the one before."""
        with self._lock:
            self._waiting = [stamp_ns]

    def begin(self, stamp_ns: int) -> None:
        """Note a frame that the networks take."""
        with self._lock:
            self._in_work.append(stamp_ns)

    def stamps(self) -> list[int]:
        """Return the stamps of those that wait and of those in work."""
        with self._lock:
            return [*self._waiting, *self._in_work]


class StampMatch(Generic[T]):
    """Keep the last messages of a sensor, to find the one of an image. Safe across threads.

    frames: networks on a CPU may take longer than the messages last; what is nearest to one of
    these frames stays.
    """

    def __init__(self, frames: FramesUnderWay) -> None:
        self._lock = threading.Lock()
        self._stamps = StampMonitor()
        self._messages: list[tuple[int, T]] = []
        self._frames = frames

    def add(self, stamp_ns: int, message: T) -> None:
        """Keep a message; where time has started again, forget the older ones."""
        with self._lock:
            if self._stamps.step_back(stamp_ns) is not None:
                self._messages.clear()
            self._messages.append((stamp_ns, message))
            if len(self._messages) > MATCH_LENGTH:
                wanted = {self._nearest(stamp) for stamp in self._frames.stamps()}
                del self._messages[next(i for i in itertools.count() if i not in wanted)]

    def reaches(self, stamp_ns: int) -> bool:
        """Return whether a message of this stamp or a later one is there."""
        with self._lock:
            return any(stamp >= stamp_ns for stamp, _ in self._messages)

    def nearest(self, stamp_ns: int, tolerance_ns: int) -> tuple[int, T] | None:
        """Return stamp and message nearest in time, None where that is beyond the tolerance."""
        with self._lock:
            if not self._messages:
                return None
            found = self._messages[self._nearest(stamp_ns)]
        return found if abs(found[0] - stamp_ns) <= tolerance_ns else None

    def _nearest(self, stamp_ns: int) -> int:
        places = range(len(self._messages))
        return min(places, key=lambda i: abs(self._messages[i][0] - stamp_ns))


class SequenceGaps:
    """Count the messages that are missing between those that came, by their senders' numbers."""

    def __init__(self) -> None:
        self._last: dict[bytes, int] = {}

    def missing(self, sender: bytes, number: int) -> int:
        """Return how many of a sender's messages are missing since the last one that came."""
        before = self._last.pop(sender, None)
        # The newest is last, so that senders that are gone are forgotten first.
        self._last[sender] = number
        if len(self._last) > MOST_SENDERS:
            self._last.pop(next(iter(self._last)))
        return 0 if before is None else max(0, number - before - 1)
