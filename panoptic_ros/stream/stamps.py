"""Notice when time starts again, as it does when a recording loops."""

from __future__ import annotations

LARGEST_STEP_BACK_NS = 1_000_000_000


class StampMonitor:
    """Compare each frame's stamp with the newest one so far."""

    def __init__(self) -> None:
        self._newest: int | None = None

    def reset(self) -> None:
        """Forget the newest stamp."""
        self._newest = None

    def step_back(self, stamp_ns: int) -> float | None:
        """Return by how many seconds a stamp lies before the newest, where by more than one.

        Time counts from that stamp then. Otherwise return None: frames that overtake each
        other on the way are common.
        """
        newest, self._newest = self._newest, stamp_ns
        if newest is None:
            return None
        if stamp_ns < newest - LARGEST_STEP_BACK_NS:
            return (newest - stamp_ns) / 1e9
        self._newest = max(newest, stamp_ns)
        return None
