"""A limit on how many frames a second go on."""

from __future__ import annotations

import math


class RateCap:
    """Let frames pass so that their rate is not exceeded, and is reached where enough come.

    What came late may be followed early by up to a period: of 30 Hz, 20 Hz are two of three frames.
    """

    def __init__(self) -> None:
        self._due = -math.inf

    def admits(self, now: float, rate: float) -> bool:
        """Return whether a frame passes; now: seconds, never falling; rate: Hz, 0: no limit."""
        if rate <= 0:
            return True
        if now < self._due:
            return False
        self._due = max(self._due + 1 / rate, now)
        return True
