"""Place frames on the ground in a thread of its own, so that nothing before waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from panoptic_ros.stream.slot import FrameSlot

T = TypeVar("T")


class GroundWorker(Generic[T]):
    """Work on the newest of the offered frames, one after the other; starts paused.

    work: returns what publishes a frame's outputs. It may wait (for poses, for other sensors);
    a newer frame replaces one that waits behind it.
    on_error: told what `work` or the publishing raised; the next frame is taken then.
    """

    def __init__(
        self, work: Callable[[T], Callable[[], None]], on_error: Callable[[Exception], None]
    ) -> None:
        self.slot: FrameSlot[T] = FrameSlot()
        self._work = work
        self._on_error = on_error
        self._thread = threading.Thread(target=self._run, name="ground", daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Accept frames."""
        self.slot.open()

    def pause(self) -> None:
        """Drop what waits; nothing is published once this returns."""
        self.slot.close()

    def stop(self, timeout: float | None = None) -> bool:
        """End the thread after the frame in work; return whether it has ended."""
        self.slot.end()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def offer(self, frame: T) -> None:
        """Leave a frame for the thread. Returns at once."""
        self.slot.put(frame)

    def _run(self) -> None:
        while (frame := self.slot.take()) is not None:
            # One bad frame must not end the outputs that follow it.
            try:
                self.slot.deliver(self._work(frame))
            except Exception as error:
                self.slot.refuse()
                self._on_error(error)
