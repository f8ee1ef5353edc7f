"""Time of a frame's stages, without waiting for the GPU in between."""

from __future__ import annotations

import time
from typing import Any

import torch


class StageClock:
    """Mark the ends of stages; CUDA events on a GPU, the host's clock elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._device = device
        self._marks = [("start", self._now())]

    def lap(self, stage: str) -> None:
        """Mark the end of a stage."""
        self._marks.append((stage, self._now()))

    def milliseconds(self) -> dict[str, float]:
        """Return each stage's duration in milliseconds.

        On a GPU this waits for the last mark; call it after the result has crossed.
        """
        if self._cuda:
            self._marks[-1][1].synchronize()
        return {
            stage: self._between(before, now)
            for (_, before), (stage, now) in zip(self._marks, self._marks[1:], strict=False)
        }

    def _now(self) -> Any:
        """Return seconds, or on a GPU a CUDA event."""
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _between(self, before: Any, now: Any) -> float:
        return before.elapsed_time(now) if self._cuda else (now - before) * 1e3
