"""A worker thread for the newest frame, so that callbacks never wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from panoptic_ros.stream.slot import FrameSlot

T = TypeVar("T")


class NewestFrameWorker(Generic[T]):
    """Work on the newest of the offered frames, one after the other.

    work: returns what publishes a frame's outputs; a newer frame replaces one that waits behind.
    on_error: told what `work` or the publishing raised; may return what to do once the exception,
        and what its traceback holds, is gone, before the next frame is taken.
    Every offered frame is published, dropped for a newer one, or refused, and counted in `slot`.
    Starts paused.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[T], Callable[[], None]],
        on_error: Callable[[BaseException], Callable[[], None] | None],
    ) -> None:
        self.slot: FrameSlot[T] = FrameSlot()
        self._work = work
        self._on_error = on_error
        self._taken: float | None = None
        self._stopping = threading.Event()
        # A daemon, so that a process that has to end does not wait for an inference.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Accept frames."""
        self.slot.open()

    def pause(self) -> None:
        """Drop what waits; nothing is published once this returns."""
        self.slot.close()

    def stop(self, timeout: float | None = None) -> bool:
        """End the thread after the frame in work; return whether it has ended.

        timeout: seconds; None waits as long as that takes. A thread that goes on ends with its
        frame and publishes nothing more.
        """
        self._stopping.set()
        self.slot.end()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def offer(self, frame: T) -> None:
        """Leave a frame for the thread. Returns at once."""
        self.slot.put(frame)

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
        while (frame := self.slot.take()) is not None:
            self._taken = time.monotonic()
            then = self._settle(frame)
            self._taken = None
            del frame
            if then is not None:
                then()

    def _settle(self, frame: T) -> Callable[[], None] | None:
        try:
            self.slot.deliver(self._work(frame))
        # One bad frame must not end those that follow, whatever a network or a driver raises:
        # a SystemExit would end the thread silently.
        except BaseException as error:
            self.slot.refuse()
            return self._on_error(error)
        return None
