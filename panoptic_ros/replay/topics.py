"""Which topics of a bag are the camera's and the ground truth's."""

from __future__ import annotations

from collections.abc import Mapping

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
IMAGE_KINDS = (IMAGE, COMPRESSED)
# What the town writes, and the same as raw images.
TRUTH_TOPICS = ("/ground_truth/labels/compressed", "/ground_truth/labels")


def truth_topic(kinds: Mapping[str, str], wanted: str | None) -> str | None:
    """Return the topic of ground-truth label images, None where the bag has none.

    kinds: message type of each topic. Raise ValueError where a wanted one is no image topic.
    """
    if wanted is not None:
        return _wanted(kinds, wanted, "--truth-topic")
    return next((t for t in TRUTH_TOPICS if kinds.get(t) in IMAGE_KINDS), None)


def camera_topic(kinds: Mapping[str, str], wanted: str | None, truth: str | None) -> str | None:
    """Return the camera's topic, None where the bag has no images.

    Raise ValueError where a wanted one is no image topic, and where none is wanted but there
    are several.
    """
    if wanted is not None:
        return _wanted(kinds, wanted, "--topic")
    images = [t for t, kind in sorted(kinds.items()) if kind in IMAGE_KINDS and t != truth]
    if len(images) > 1:
        raise ValueError(f"the bag has several image topics, choose by --topic: {_list(images)}")
    return images[0] if images else None


def _wanted(kinds: Mapping[str, str], wanted: str, option: str) -> str:
    if kinds.get(wanted) not in IMAGE_KINDS:
        images = [t for t, kind in sorted(kinds.items()) if kind in IMAGE_KINDS]
        raise ValueError(f"{option} {wanted}: no image topic; the bag's: {_list(images)}")
    return wanted


def _list(topics: list[str]) -> str:
    return ", ".join(topics) or "none"
