"""A bag's camera frames and their ground truth, as far as the bag can be read."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_ros.bags import (
    CAMERA_INFO,
    COMPRESSED,
    ODOMETRY,
    TF,
    BagMessage,
    BagReader,
    Entry,
)
from panoptic_ros.datasets.bag_labels import IMAGE_KINDS, TRUTH_TOPICS
from panoptic_ros.messages import ImageRefused, decode_compressed, decode_image
from panoptic_ros.replay.ground_views import is_depth
from panoptic_ros.stream.stamps import nanoseconds

# What a viewer needs to show the output beside the drive, and the node to place it on the ground;
# the camera's pictures stay where they are, ~/color has them.
COPIED_KINDS = (CAMERA_INFO, TF, ODOMETRY)
# Of the shortest time between two frames: by so much their truth may be logged apart from them.
_LOGGED_APART = 0.1
_SHOWN_STAMPS = 3
_ROS_NAME = re.compile(r"(/[A-Za-z_]\w*)+", re.ASCII)


class BagSource:
    """Read a bag's camera, and find its ground truth.

    camera, truth: topics, None where there is none; frames: how many; problems: what is broken
    or odd, a line each, growing while messages are read. Use as a context manager.
    Raise FileNotFoundError or ValueError where the bag or a wanted topic is not there.
    """

    def __init__(self, path: Path, topic: str | None = None, truth: str | None = None) -> None:
        self.bag = BagReader(path)
        self.problems = self.bag.problems
        try:
            self.truth = self._truth_topic(truth)
            self.camera = self._camera_topic(topic)
        except BaseException:
            self.bag.close()
            raise
        self.frames = self.bag.counts[self.camera] if self.camera else 0
        if self.camera is None:
            kinds = [(t.name, t.kind, t.serialization) for t in self.bag.topics]
            known = ", ".join(f"{name} ({kind}, {form})" for name, kind, form in kinds)
            self.problems.append(
                f"{path} has no images; its topics: {known or 'none'}; images are "
                f"{' or '.join(IMAGE_KINDS)} in cdr, called depth only by --topic"
            )
        self._calibrations: dict[str, bytes] = {}

    def __enter__(self) -> BagSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.bag.close()

    def read(self, entry: Entry) -> BagMessage | None:
        """Read a message as `BagReader.read` does; tell of a calibration that changes."""
        message = self.bag.read(entry)
        if message is not None and message.kind == CAMERA_INFO:
            self._watch_calibration(message)
        return message

    def truths(self) -> dict[Entry, Entry]:
        """Return where the truth of each frame lies.

        The truth has its frame's stamp. Of stamps that several frames share the log times
        decide; where those leave a doubt nothing is paired, and the stamps are a problem.
        """
        if self.camera is None or self.truth is None:
            return {}
        frames, truths = ([*self.bag.entries({t})] for t in (self.camera, self.truth))
        groups: dict[int | None, tuple[list[Entry], list[Entry]]] = defaultdict(lambda: ([], []))
        for entries, position in ((frames, 0), (truths, 1)):
            for entry in entries:
                groups[self.bag.stamp(entry)][position].append(entry)
        groups.pop(None, None)
        paired: dict[Entry, Entry] = {}
        doubtful: list[int] = []
        for stamp, (of_stamp, true) in groups.items():
            if len(of_stamp) == len(true) == 1:
                paired[of_stamp[0]] = true[0]
                continue
            pairs = paired_by_time([e.time for e in of_stamp], [e.time for e in true])
            paired.update((of_stamp[i], true[j]) for i, j in pairs)
            if true and of_stamp and not pairs and stamp is not None:
                doubtful.append(stamp)
        if doubtful:
            self.problems.append(
                f"not scored: {stamps_text(doubtful)} belong to several messages of {self.camera} "
                f"or {self.truth}, and the log times do not tell which truth is whose"
            )
        return paired

    def truth_by_stamp(self) -> dict[int, Entry]:
        """Return where the truth of each stamp lies that one frame alone has, nanoseconds."""
        pairs = {self.bag.stamp(frame): truth for frame, truth in self.truths().items()}
        shared = Counter(self.bag.stamp(e) for e in self.bag.entries({self.camera or ""}))
        return {s: truth for s, truth in pairs.items() if s is not None and shared[s] == 1}

    def _truth_topic(self, wanted: str | None) -> str | None:
        """Return the topic of ground-truth label images, None where the bag has none."""
        if wanted is not None:
            return self._wanted(wanted, "--truth-topic")
        return next((t for t in TRUTH_TOPICS if self.bag.kinds.get(t) in IMAGE_KINDS), None)

    def _camera_topic(self, wanted: str | None) -> str | None:
        """Return the camera's topic, None where the bag has no images."""
        if wanted is not None:
            return self._wanted(wanted, "--topic")
        topics = self.bag.topics_of(*IMAGE_KINDS)
        images = [t for t in topics if t and t != self.truth and not is_depth(t)]
        if len(images) > 1:
            raise ValueError(
                f"the bag has several image topics, choose by --topic: {', '.join(images)}"
            )
        return images[0] if images else None

    def _wanted(self, wanted: str, option: str) -> str:
        images = self.bag.topics_of(*IMAGE_KINDS)
        if wanted not in images:
            known = ", ".join(images) or "none"
            raise ValueError(
                self.bag.told(f"{option} {wanted}: no image topic; the bag's: {known}")
            )
        return wanted

    def _watch_calibration(self, message: BagMessage) -> None:
        info = message.message
        fields = (info.height, info.width, info.distortion_model, info.binning_x, info.binning_y)
        arrays = (np.asarray(a, float).tobytes() for a in (info.k, info.d, info.r, info.p))
        calibration = repr(fields).encode() + b"".join(arrays)
        before = self._calibrations.setdefault(message.topic, calibration)
        if before != calibration:
            self._calibrations[message.topic] = calibration
            self.problems.append(
                f"{message.topic} at {message.time / 1e9:.6f} s: the calibration changes; frames "
                "from there on are of another camera"
            )


def paired_by_time(frames: Sequence[int], truths: Sequence[int]) -> list[tuple[int, int]]:
    """Return which frame and which truth belong together by their log times, as positions.

    Pairs are each other's nearest, a tenth of the shortest time between two frames or truths
    apart at most. Where one of the fewer stays alone, or two have the same time: nothing.
    """
    steps = [abs(int(d)) for times in (frames, truths) for d in np.diff(sorted(times))]
    if not (frames and truths and steps):
        return []
    distances = np.abs(np.subtract.outer(np.array(frames), np.array(truths)))
    nearest_truth, nearest_frame = distances.argmin(axis=1), distances.argmin(axis=0)
    pairs = [
        (i, int(j))
        for i, j in enumerate(nearest_truth)
        if nearest_frame[j] == i and distances[i, j] <= _LOGGED_APART * min(steps)
    ]
    is_sure = min(steps) > 0 and len(pairs) == min(len(frames), len(truths))
    return pairs if is_sure else []


def is_ros_name(topic: str) -> bool:
    """Return whether ROS 2 takes the name of a topic; other recorders write any."""
    return _ROS_NAME.fullmatch(topic) is not None


def stamp_text(header: Any) -> str:
    """Return a header's stamp in seconds, exactly."""
    return f"{header.stamp.sec}.{header.stamp.nanosec:09d}"


def stamps_text(stamps: Sequence[int]) -> str:
    """Return stamps, nanoseconds, as words for a message: the first, and how many more."""
    shown = ", ".join(f"{stamp / 1e9:.9f} s" for stamp in stamps[:_SHOWN_STAMPS])
    more = len(stamps) - _SHOWN_STAMPS
    return f"the stamps {shown}" + (f" and {more} more" if more > 0 else "")


def camera_image(message: BagMessage) -> np.ndarray:
    """Return a camera message's picture as the node sees it; raise ImageRefused."""
    try:
        nanoseconds(message.message.header.stamp)
    except ValueError as error:
        raise ImageRefused(str(error)) from None
    decode = decode_compressed if message.kind == COMPRESSED else decode_image
    return decode(message.message)
