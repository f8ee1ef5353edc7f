"""Label images that a bag holds: its truth, or what a node or a replay has made of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from panoptic_ros.bags import COMPRESSED, IMAGE, BagReader, Entry
from panoptic_ros.datasets.coco_files import BrokenFile
from panoptic_ros.messages import ImageRefused, decode_labels
from panoptic_ros.messages.panoptic import INSTANCES_KIND

# What the town writes, and the same as raw images.
TRUTH_TOPICS = ("/ground_truth/labels/compressed", "/ground_truth/labels")
IMAGE_KINDS = (IMAGE, COMPRESSED)
_LABELS, _INSTANCES = "/labels", "/instances"


class BagLabels:
    """Read a bag's label images, and which track each of their instances has.

    topic: None for the town's truth or, of a prediction, for the only `.../labels` beside it.
    names: of the frames, by rising log time, their stamps in seconds; problems: what is broken,
    a line each, growing while messages are read; has_tracks: whether `.../instances` lies beside
    the labels. Reading is safe from several threads.
    Raise FileNotFoundError or ValueError where the bag or the topic is not there.
    """

    def __init__(self, path: Path, topic: str | None, *, is_truth: bool) -> None:
        self._path, self._bag, self._lock = path, BagReader(path), Lock()
        self.problems = self._bag.problems
        self.topic = self._chosen(topic, is_truth)
        self._images = self._by_name(self.topic)
        beside = self.topic.removesuffix(_LABELS) + _INSTANCES
        self.has_tracks = not is_truth and self._bag.kinds.get(beside) == INSTANCES_KIND
        self._instances = self._by_name(beside) if self.has_tracks else {}

    @property
    def names(self) -> list[str]:
        """The frames' names."""
        return list(self._images)

    def labels(self, name: str) -> np.ndarray:
        """Return a frame's label image, uint16 or int32 [H, W]; raise BrokenFile."""
        try:
            return decode_labels(self._message(self._images[name]))
        except ImageRefused as refusal:
            raise BrokenFile(f"{self._path}: {self.topic} at {name} s: {refusal}") from refusal

    def track_ids(self, name: str) -> dict[int, int]:
        """Return the tracks of a frame by value of its label image; raise BrokenFile."""
        entry = self._instances.get(name)
        found = self._message(entry).instances if entry else []
        tracks = {int(i.id): int(i.track_id) for i in found if i.track_id >= 0}
        shared = [track for track, count in Counter(tracks.values()).items() if count > 1]
        if shared:
            raise BrokenFile(f"{self._path}: track {shared[0]} has several instances at {name} s")
        return tracks

    def _message(self, entry: Entry) -> Any:
        with self._lock:
            message = self._bag.read(entry)
            if message is None:
                raise BrokenFile(f"{self._path}: {self.problems.pop()}")
        return message.message

    def _by_name(self, topic: str) -> dict[str, Entry]:
        """Return a topic's messages by stamp; what of a stamp that several have is not known."""
        found: dict[str, list[Entry]] = {}
        without: list[Entry] = []
        for entry in self._bag.entries({topic}):
            stamp = self._bag.stamp(entry)
            if stamp is None and not self._bag.is_left_out(entry):
                without.append(entry)
            elif stamp is not None:
                found.setdefault(f"{stamp // 10**9}.{stamp % 10**9:09d}", []).append(entry)
        if without:
            self.problems.append(
                f"{self._path}: {len(without)} messages of {topic} have no stamp that can be read, "
                f"and are not scored (the first was logged at {without[0].time / 1e9:.6f} s)"
            )
        shared = [name for name, entries in found.items() if len(entries) > 1]
        if shared:
            self.problems.append(
                f"{self._path}: {len(shared)} stamps belong to several messages of {topic}, which "
                f"are not scored (the first: {shared[0]} s)"
            )
        return {name: entries[0] for name, entries in found.items() if len(entries) == 1}

    def _chosen(self, wanted: str | None, is_truth: bool) -> str:
        images = self._bag.topics_of(*IMAGE_KINDS)
        option = "--truth-topic" if is_truth else "--prediction-topic"
        if wanted is not None:
            found = [wanted] if wanted in images else []
        elif is_truth:
            found = [topic for topic in TRUTH_TOPICS if topic in images][:1]
        else:
            found = [t for t in images if t.endswith(_LABELS) and t not in TRUTH_TOPICS]
        if len(found) != 1:
            self._bag.close()
            what = f"{wanted} is no image topic" if wanted else "which topic has the labels is open"
            known = ", ".join(found or images) or "none"
            words = f"{self._path}: {what}; name one by {option}; image topics: {known}"
            raise ValueError(self._bag.told(words))
        return found[0]
