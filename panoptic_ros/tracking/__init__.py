"""Tracking of the instances in successive label images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from panoptic_ros.tracking.track import Track
from panoptic_ros.tracking.tracking_options import TrackingOptions

if TYPE_CHECKING:
    from panoptic_ros.tracking.tracker import InstanceTracker

__all__ = ["InstanceTracker", "Track", "TrackingOptions"]


def __getattr__(name: str) -> Any:
    """Import the tracker on first use: `trackers` is optional."""
    if name == "InstanceTracker":
        from panoptic_ros.tracking.tracker import InstanceTracker

        return InstanceTracker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
