"""A worker thread for the newest frames, so that callbacks never wait."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from panoptic_ros.stream.slot import FrameSlot

T = TypeVar("T")


class NewestFrameWorker(Generic[T]):
    """Work on the newest frame of each slot, one after the other, the slots in turn.

    work: returns what publishes a frame's outputs; a newer frame replaces one that waits behind.
    on_error: told the frame and what `work` or the publishing raised; may return what to do once
        the exception, and what its traceback holds, is gone, before the next frame is taken.
    slots: how many.
    joins: whether a waiting frame is taken together with the one whose turn it is; prepare: told
        of those that are, before `work` gets each. What it raises is passed over: a frame that
        fails among others may do so alone.
    Every frame is published, dropped for a newer one, or refused, and counted in its slot.
    Starts paused.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[T], Callable[[], None]],
        on_error: Callable[[T, BaseException], Callable[[], None] | None],
        slots: int = 1,
        joins: Callable[[T, T], bool] = lambda first, other: False,
        prepare: Callable[[list[T]], None] = lambda frames: None,
    ) -> None:
        self._arrived = threading.Condition()
        self.slots: list[FrameSlot[T]] = [FrameSlot(self._arrived) for _ in range(slots)]
        # Where the search for the next frame begins, so that no slot waits for ever.
        self._turn = 0
        self._work = work
        self._on_error = on_error
        self._joins, self._prepare = joins, prepare
        self._taken: float | None = None
        self._stopping = threading.Event()
        # A daemon, so that a process that has to end does not wait for an inference.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Accept frames."""
        for slot in self.slots:
            slot.open()

    def pause(self) -> None:
        """Drop what waits; nothing is published once this returns."""
        for slot in self.slots:
            slot.close()

    def stop(self, timeout: float | None = None) -> bool:
        """End the thread after the frame in work; return whether it has ended.

        timeout: seconds; None waits as long as that takes. A thread that goes on ends with its
        frame and publishes nothing more.
        """
        self._stopping.set()
        self.pause()
        with self._arrived:
            self._arrived.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def seconds_in_work(self) -> float:
        """Return how long the frame in work has been there, 0 where there is none."""
        taken = self._taken
        return 0.0 if taken is None else time.monotonic() - taken

    def rest(self, seconds: float) -> None:
        """Wait in the worker's thread, or until it has to end."""
        self._stopping.wait(seconds)

    def _run(self) -> None:
        while taken := self._take():
            self._taken = time.monotonic()
            if len(taken) > 1:
                with contextlib.suppress(BaseException):
                    self._prepare([frame for _, frame in taken])
            while taken:
                self._taken = time.monotonic()
                then = self._settle(*taken.pop(0))
                self._taken = None
                if then is not None:
                    then()

    def _take(self) -> list[tuple[FrameSlot[T], T]]:
        """Wait for frames and take them into work; return none once the worker has to end."""
        with self._arrived:
            while not self._stopping.is_set():
                turns = [*self.slots[self._turn :], *self.slots[: self._turn]]
                waiting = [(slot, slot.waiting) for slot in turns if slot.waiting is not None]
                if waiting:
                    first, frame = waiting[0]
                    self._turn = (self.slots.index(first) + 1) % len(self.slots)
                    joined = [w for w in waiting[1:] if self._joins(frame, w[1])]
                    return [(slot, slot.take()) for slot, _ in (waiting[0], *joined)]
                self._arrived.wait()
        return []

    def _settle(self, slot: FrameSlot[T], frame: T) -> Callable[[], None] | None:
        try:
            slot.deliver(self._work(frame))
        # One bad frame must not end those that follow, whatever a network or a driver raises:
        # a SystemExit would end the thread silently.
        except BaseException as error:
            slot.refuse()
            return self._on_error(frame, error)
        return None
