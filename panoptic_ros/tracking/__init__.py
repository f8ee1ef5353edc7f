"""Lasting identities for the instances of successive label images."""

from panoptic_ros.tracking.options import TrackingOptions
from panoptic_ros.tracking.track import Track
from panoptic_ros.tracking.tracker import InstanceTracker

__all__ = ["InstanceTracker", "Track", "TrackingOptions"]
