"""What was refused and why, for the log and for diagnostics."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

# image: the message is no picture that can be used; stamp: time went backwards; memory: the
# GPU's is exhausted; inference: anything else that goes wrong on the way.
KINDS = ("image", "stamp", "memory", "inference")
# Kinds that speak of the node and not of its input.
_FAULTS = ("memory", "inference")


@dataclass(frozen=True)
class Refusal:
    """Say why a frame was refused; kind: one of KINDS."""

    kind: str
    reason: str


class Refusals:
    """Count refusals by kind and remember the last one. Safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(KINDS, 0)
        self._last: Refusal | None = None
        self._last_time = -math.inf
        self._fault: Refusal | None = None

    def add(self, refusal: Refusal) -> None:
        """Count a refusal."""
        with self._lock:
            self._counts[refusal.kind] += 1
            self._last, self._last_time = refusal, time.monotonic()
            if refusal.kind in _FAULTS:
                self._fault = refusal

    def clear_fault(self) -> None:
        """Note that a frame went through: what was wrong with the node no longer is."""
        with self._lock:
            self._fault = None

    @property
    def counts(self) -> dict[str, int]:
        """Number of refusals of each kind."""
        with self._lock:
            return dict(self._counts)

    @property
    def last(self) -> Refusal | None:
        """The last refusal."""
        return self._last

    @property
    def fault(self) -> Refusal | None:
        """The last failure of the node itself, until a frame goes through again."""
        return self._fault

    def seconds_since_last(self) -> float:
        """Return how long ago the last refusal was; infinite where there was none."""
        return time.monotonic() - self._last_time
