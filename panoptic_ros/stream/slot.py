"""One place between a camera's callback and the worker: a newer frame replaces an older one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class FrameCounts:
    """Count frames since the node's start: frames_in = out + dropped + refused + waiting.

    dropped: replaced by a newer frame, overtaken by `FrameSlot.close`, or not wanted at all.
    waiting: 0..2, the frame in the slot and the frame in work.
    """

    frames_in: int = 0
    out: int = 0
    dropped: int = 0
    refused: int = 0

    @property
    def waiting(self) -> int:
        """Frames that came in and are not settled yet."""
        return self.frames_in - self.out - self.dropped - self.refused


class FrameSlot(Generic[T]):
    """Hold at most one waiting frame and one in work, and account for every frame.

    One thread puts, one takes; every taken frame is settled by `deliver` or `refuse`.
    arrived: told of each frame that waits; shared by the slots that one thread takes from.
    The slot starts closed.
    """

    def __init__(self, arrived: threading.Condition | None = None) -> None:
        self._condition = arrived or threading.Condition()
        # Held while a result is published, so that `close` returns with nothing half out.
        self._delivery = threading.Lock()
        self._counted = {"frames_in": 0, "out": 0, "dropped": 0, "refused": 0}
        self._waiting: T | None = None
        self._is_open = False
        # `close` ends a session; a frame in work belongs to the session that it was taken in.
        self._session = 0
        self._session_in_work = 0

    def open(self) -> None:
        """Accept frames."""
        with self._condition:
            self._is_open = True

    def close(self) -> None:
        """Drop the waiting frame; the frame in work will be dropped instead of delivered."""
        with self._delivery, self._condition:
            self._is_open = False
            self._session += 1
            self._drop_waiting()

    def put(self, frame: T) -> None:
        """Leave a frame for the worker; one that still waits is dropped. Never blocks for long."""
        with self._condition:
            self._counted["frames_in"] += 1
            if not self._is_open:
                self._counted["dropped"] += 1
                return
            self._drop_waiting()
            self._waiting = frame
            self._condition.notify()

    def refuse_arrival(self) -> None:
        """Count a frame that is refused before it reaches the slot."""
        with self._condition:
            self._counted["frames_in"] += 1
            self._counted["refused"] += 1

    def drop_arrival(self) -> None:
        """Count a frame that is dropped before it reaches the slot."""
        with self._condition:
            self._counted["frames_in"] += 1
            self._counted["dropped"] += 1

    def drop_waiting(self) -> None:
        """Drop the frame that waits, if one does."""
        with self._condition:
            self._drop_waiting()

    @property
    def waiting(self) -> T | None:
        """The frame that waits; `arrived` is held where it must not change."""
        return self._waiting

    def take(self) -> T:
        """Take the frame that waits into work; raise LookupError where none does."""
        with self._condition:
            if self._waiting is None:
                raise LookupError("no frame waits")
            frame, self._waiting = self._waiting, None
            self._session_in_work = self._session
            return frame

    def deliver(self, publish: Callable[[], None]) -> bool:
        """Publish the result of the frame in work and count it as out; return True.

        Where the slot was closed since the frame was taken: count it as dropped, return
        False. An exception of `publish` leaves the frame in work, to be refused.
        """
        with self._delivery:
            with self._condition:
                wanted = self._session_in_work == self._session
            if wanted:
                publish()
            with self._condition:
                self._counted["out" if wanted else "dropped"] += 1
            return wanted

    def refuse(self) -> None:
        """Count the frame in work as refused."""
        with self._condition:
            self._counted["refused"] += 1

    def counts(self) -> FrameCounts:
        """Return the counts of all frames so far, exact at this moment."""
        with self._condition:
            return FrameCounts(**self._counted)

    def _drop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting = None
            self._counted["dropped"] += 1
