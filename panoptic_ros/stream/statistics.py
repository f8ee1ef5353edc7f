"""Rate and latency of the last seconds."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# What a frame's time is spent on, in milliseconds. wait: arrival to the worker's hands;
# inference: semantic + instances + fusion; publish: conversion to messages included;
# total: arrival to publication; age: the message's stamp to publication.
STAGES = (
    "wait",
    "decode",
    "semantic",
    "instances",
    "fusion",
    "inference",
    "publish",
    "total",
    "age",
)


@dataclass(frozen=True)
class Latency:
    """Hold the median and 95th percentile of a stage, in milliseconds; NaN without frames."""

    p50: float = math.nan
    p95: float = math.nan


class FrameStatistics:
    """Keep the stage times of the frames of the last seconds. Safe across threads."""

    def __init__(self, window_seconds: float = 10.0, stages: Sequence[str] = STAGES) -> None:
        self._window = window_seconds
        self._stages = tuple(stages)
        self._lock = threading.Lock()
        self._samples: deque[tuple[float, dict[str, float]]] = deque()
        self._since = time.monotonic()

    def reset(self) -> None:
        """Forget all frames; the rate counts from now."""
        with self._lock:
            self._samples.clear()
            self._since = time.monotonic()

    def add(self, milliseconds: Mapping[str, float]) -> None:
        """Record the stage times of a frame that was published just now; keys: the stages."""
        with self._lock:
            self._samples.append((time.monotonic(), dict(milliseconds)))
            self._forget()

    def rate(self) -> float:
        """Return published frames per second."""
        with self._lock:
            self._forget()
            elapsed = min(self._window, time.monotonic() - self._since)
            return len(self._samples) / elapsed if elapsed > 0 else 0.0

    def latency(self) -> dict[str, Latency]:
        """Return the latency of each stage."""
        with self._lock:
            self._forget()
            samples = [times for _, times in self._samples]
        if not samples:
            return dict.fromkeys(self._stages, Latency())
        table = np.array([[times[stage] for stage in self._stages] for times in samples])
        return {
            stage: Latency(float(p50), float(p95))
            for stage, p50, p95 in zip(
                self._stages, *np.percentile(table, (50, 95), axis=0), strict=True
            )
        }

    def _forget(self) -> None:
        oldest = time.monotonic() - self._window
        while self._samples and self._samples[0][0] < oldest:
            self._samples.popleft()
