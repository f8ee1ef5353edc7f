"""Bring together what belongs to one frame and comes on several topics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Gather:
    """Collect one value per topic under each stamp."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = frozenset(topics)
        self._open: dict[int, dict[str, Any]] = {}

    def add(self, topic: str, stamp: int, value: Any) -> dict[str, Any] | None:
        """Keep a value; return all of a stamp's, by topic, once they are complete.

        Older stamps are given up then: of frames that the node dropped only the image came.
        """
        values = self._open.setdefault(stamp, {})
        values[topic] = value
        if values.keys() != self._topics:
            return None
        self._open = {s: v for s, v in self._open.items() if s > stamp}
        return values
