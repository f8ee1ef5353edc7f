"""From callbacks, which never wait, to a thread: what is admitted, the newest frame, the work."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class RateCap:
    """Let frames pass so that their rate is not exceeded, and is reached where enough come.

    What came late may be followed early by up to a period: of 30 Hz, 20 Hz are two of three frames.
    """

    def __init__(self) -> None:
        # When the last one passed, or was due to. Not when the next one is: the rate may rise.
        self._last = -math.inf

    def admits(self, now: float, rate: float) -> bool:
        """Return whether a frame passes; now: seconds, never falling; rate: Hz, 0: no limit."""
        if rate <= 0:
            return True
        due = self._last + 1 / rate
        if now < due:
            return False
        self._last = max(due, now - 1 / rate)
        return True


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
        self._is_new = False
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
            self._waiting, self._is_new = frame, True
            self._condition.notify_all()

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

    def look(self) -> T | None:
        """Return the frame that waits, but each frame once only; None where there is no new one."""
        with self._condition:
            is_new, self._is_new = self._is_new, False
            return self._waiting if is_new else None

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


class NewestFrameWorker(Generic[T]):
    """Work on the newest frame of each slot, one after the other, the slots in turn.

    work: returns what publishes a frame's outputs; a newer frame replaces one that waits behind.
    on_error: told the frame and what `work` or the publishing raised; may return what to do once
        the exception, and what its traceback holds, is gone, before the next frame is taken.
    slots: how many.
    joins: whether a waiting frame is taken together with the one whose turn it is; prepare: told
        of those that are, before `work` gets each. What it raises is passed over: a frame that
        fails among others may do so alone.
    ahead: told, in a second thread, of each frame that waits while another one is in work; None:
        there is no such thread. `work` and `prepare` get a frame when `ahead` is done with it, or
        had not begun. What it raises is passed over, too: `work` meets it again.
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
        ahead: Callable[[T], None] | None = None,
    ) -> None:
        self._arrived = threading.Condition()
        self.slots: list[FrameSlot[T]] = [FrameSlot(self._arrived) for _ in range(slots)]
        # Where the search for the next frame begins, so that no slot waits for ever.
        self._turn = 0
        self._work = work
        self._on_error = on_error
        self._joins, self._prepare = joins, prepare
        self._taken: float | None = None
        # The frame that `ahead` is told of.
        self._in_ahead: T | None = None
        self._stopping = threading.Event()
        # Daemons, so that a process that has to end does not wait for an inference.
        self._ahead_thread: threading.Thread | None = None
        if ahead is not None:
            self._ahead_thread = threading.Thread(
                target=self._run_ahead, args=(ahead,), name=f"{name} ahead", daemon=True
            )
            self._ahead_thread.start()
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
        """End the threads after the frame in work; return whether they have ended.

        timeout: seconds; None waits as long as that takes. Threads that go on end with their
        frames and publish nothing more.
        """
        self._stopping.set()
        self.pause()
        with self._arrived:
            self._arrived.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def is_alive(self) -> bool:
        """Return whether the worker's thread runs; it ends after that of `ahead`."""
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
            self._wait_for_ahead([frame for _, frame in taken])
            if len(taken) > 1:
                with contextlib.suppress(BaseException):
                    self._prepare([frame for _, frame in taken])
            while taken:
                self._taken = time.monotonic()
                then = self._settle(*taken.pop(0))
                self._taken = None
                if then is not None:
                    then()
        if self._ahead_thread is not None:
            self._ahead_thread.join()

    def _take(self) -> list[tuple[FrameSlot[T], T]]:
        """Wait for frames and take them into work; return none once the worker has to end."""
        with self._arrived:
            while not self._stopping.is_set():
                waiting = [
                    (slot, slot.waiting) for slot in self._turns() if slot.waiting is not None
                ]
                if waiting:
                    first, frame = waiting[0]
                    self._turn = (self.slots.index(first) + 1) % len(self.slots)
                    joined = [w for w in waiting[1:] if self._joins(frame, w[1])]
                    self._taken = time.monotonic()
                    # What goes on waiting can be told to `ahead`.
                    self._arrived.notify_all()
                    return [(slot, slot.take()) for slot, _ in (waiting[0], *joined)]
                self._arrived.wait()
        return []

    def _turns(self) -> list[FrameSlot[T]]:
        return [*self.slots[self._turn :], *self.slots[: self._turn]]

    def _wait_for_ahead(self, frames: list[T]) -> None:
        with self._arrived:
            while any(frame is self._in_ahead for frame in frames):
                self._arrived.wait()

    def _run_ahead(self, ahead: Callable[[T], None]) -> None:
        # Nothing here holds a frame: one that is dropped goes at once.
        while self._look_ahead():
            with contextlib.suppress(BaseException):
                ahead(self._in_ahead)  # type: ignore[arg-type]
            with self._arrived:
                self._in_ahead = None
                self._arrived.notify_all()

    def _look_ahead(self) -> bool:
        """Wait for a frame behind one in work; return False once the worker has to end."""
        with self._arrived:
            while not self._stopping.is_set():
                # An idle worker takes a frame itself. One that rests wants none.
                if self._taken is not None:
                    for slot in self._turns():
                        self._in_ahead = slot.look()
                        if self._in_ahead is not None:
                            return True
                self._arrived.wait()
        return False

    def _settle(self, slot: FrameSlot[T], frame: T) -> Callable[[], None] | None:
        try:
            slot.deliver(self._work(frame))
        # One bad frame must not end those that follow, whatever a network or a driver raises:
        # a SystemExit would end the thread silently.
        except BaseException as error:
            slot.refuse()
            return self._on_error(frame, error)
        return None
