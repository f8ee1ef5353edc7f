"""Health of a part of the node: its recent latency, and errors with their reasons."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from panoptic_ros.messages.refusal import one_line

WINDOW_SECONDS = 10.0


@dataclass(frozen=True)
class Latency:
    """Hold the median and 95th percentile of a stage, in milliseconds; NaN without frames."""

    p50: float = math.nan
    p95: float = math.nan


@dataclass(frozen=True)
class Count:
    """Hold how often something happened, why the last time, and how long ago (infinite: never)."""

    number: int = 0
    reason: str = ""
    seconds_ago: float = math.inf


@dataclass(frozen=True)
class Health:
    """Hold a snapshot of a `HealthMonitor`.

    rate: settled frames per second over the last seconds; latency: by stage; counts: by kind;
    fault: what is wrong with the node and not with its input, "" once a frame goes through.
    """

    rate: float = 0.0
    latency: dict[str, Latency] = field(default_factory=dict)
    counts: dict[str, Count] = field(default_factory=dict)
    fault: str = ""

    def count(self, kind: str) -> Count:
        """Return how often something happened."""
        return self.counts.get(kind, Count())

    def newest(self, kinds: Iterable[str]) -> Count:
        """Return the count among kinds that happened last."""
        found = (self.count(kind) for kind in kinds)
        return min(found, key=lambda count: count.seconds_ago, default=Count())


def added(healths: Sequence[Health]) -> Health:
    """Return the health of several parts together: rates and counts; no latency, no fault."""
    counts = {}
    for kind in healths[0].counts:
        newest = min((h.counts[kind] for h in healths), key=lambda count: count.seconds_ago)
        counts[kind] = replace(newest, number=sum(h.count(kind).number for h in healths))
    latency = dict.fromkeys(healths[0].latency, Latency())
    return Health(sum(h.rate for h in healths), latency, counts)


class LogPause:
    """Say which lines of a log are due: of each kind one in so many seconds. Safe across threads.

    Not rclpy's throttle: that counts by line of code, so that one camera's or sensor's words keep
    back another's, and by the system's clock, which silences it for as long as it is put back.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    def is_due(self, kind: str) -> bool:
        """Return whether a line is to be written, which begins the pause of its kind."""
        now = time.monotonic()
        with self._lock:
            if now < self._next.get(kind, now):
                return False
            self._next[kind] = now + self._seconds
            return True


class HealthMonitor:
    """Keep the stage times of the last seconds' frames, and count by kind what went wrong.

    kinds: all that can be counted; faults: those that speak of the node. Safe across threads.
    """

    def __init__(
        self, stages: Sequence[str], kinds: Sequence[str], faults: Collection[str] = ()
    ) -> None:
        self._stages = tuple(stages)
        self._faults = frozenset(faults)
        self._lock = threading.Lock()
        self._times: deque[tuple[float, tuple[float, ...]]] = deque()
        self._since = time.monotonic()
        # Number, reason and time of the last one.
        self._counted = dict.fromkeys(kinds, (0, "", -math.inf))
        self._fault: tuple[str, str] | None = None

    def restart(self) -> None:
        """Forget all times; the rate counts from now."""
        with self._lock:
            self._times.clear()
            self._since = time.monotonic()

    def settle(self, milliseconds: Mapping[str, float]) -> None:
        """Record the stage times of a frame that went through just now, which ends a fault.

        NaN: a stage whose time is unknown.
        """
        with self._lock:
            times = tuple(milliseconds[stage] for stage in self._stages)
            self._times.append((time.monotonic(), times))
            self._forget()
            self._fault = None

    def count(self, kind: str, reason: str, number: int = 1) -> bool:
        """Count an error; return whether it is new, not part of a lasting fault."""
        with self._lock:
            before, _, _ = self._counted[kind]
            self._counted[kind] = (before + number, one_line(reason), time.monotonic())
            is_new = self._fault is None or self._fault[0] != kind
            if kind in self._faults:
                self._fault = (kind, one_line(reason))
            return is_new

    def snapshot(self) -> Health:
        """Return all of it, of one moment."""
        with self._lock:
            self._forget()
            now = time.monotonic()
            elapsed = min(WINDOW_SECONDS, now - self._since)
            return Health(
                rate=len(self._times) / elapsed if elapsed > 0 else 0.0,
                latency=self._latency(),
                counts={
                    kind: Count(number, reason, now - last)
                    for kind, (number, reason, last) in self._counted.items()
                },
                fault=": ".join(self._fault or ()),
            )

    def _latency(self) -> dict[str, Latency]:
        shape = len(self._times), len(self._stages)
        table = np.array([times for _, times in self._times]).reshape(shape)
        found = dict.fromkeys(self._stages, Latency())
        for stage, column in zip(self._stages, table.T, strict=True):
            known = column[~np.isnan(column)]
            if len(known):
                p50, p95 = np.percentile(known, (50, 95))
                found[stage] = Latency(float(p50), float(p95))
        return found

    def _forget(self) -> None:
        oldest = time.monotonic() - WINDOW_SECONDS
        while self._times and self._times[0][0] < oldest:
            self._times.popleft()
