"""Decode label images: what the node publishes, and ground truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from panoptic_ros.messages.compressed import decode_label_png
from panoptic_ros.messages.images import single_channel
from panoptic_ros.messages.refusal import ImageRefused

_TYPES = {"16UC1": "u2", "mono16": "u2", "32SC1": "i4"}
# As in a COCO-panoptic PNG; scores count by id.
LARGEST_ID = (1 << 24) - 1


def decode_labels(msg: Any) -> np.ndarray:
    """Return a label image, uint16 or int32 [H, W].

    CompressedImage with a PNG of one 16-bit channel, or Image 16UC1, mono16 or 32SC1 of either
    byte order. Raise ImageRefused for anything else, broken data, too many pixels, and ids below 0
    or beyond LARGEST_ID.
    """
    if hasattr(msg, "format"):
        return decode_label_png(msg)
    if msg.encoding not in _TYPES:
        raise ImageRefused(f"a label image must be {' or '.join(_TYPES)}, not {msg.encoding!r}")
    kind = _TYPES[msg.encoding]
    labels = single_channel(msg, "label image", kind).astype(kind)
    smallest, largest = int(labels.min()), int(labels.max())
    if smallest < 0 or largest > LARGEST_ID:
        wrong = smallest if smallest < 0 else largest
        raise ImageRefused(f"a label image holds the id {wrong}; ids must be in 0..{LARGEST_ID}")
    return labels
