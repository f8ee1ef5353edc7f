"""Read a bag's messages, decoded, in the order of their log times."""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panoptic_ros.bags.message_types import own_types
from panoptic_ros.bags.recording import Entry, Recording

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
CLOUD = "sensor_msgs/msg/PointCloud2"
ODOMETRY = "nav_msgs/msg/Odometry"
TF = "tf2_msgs/msg/TFMessage"


@dataclass(frozen=True)
class BagMessage:
    """Hold a message of a bag: where it lies, its type, its data as recorded (CDR), decoded."""

    entry: Entry
    kind: str
    data: bytes
    message: Any

    @property
    def topic(self) -> str:
        """Its topic."""
        return self.entry.topic.name

    @property
    def time(self) -> int:
        """Its log time, nanoseconds."""
        return self.entry.time


class BagReader:
    """Read a rosbag2: a folder, or one of its files.

    topics: all of them as the bag describes them, by name; kinds: message type of each topic that
    has messages in CDR, of several types the one with most of them, the others are a problem when
    they are read; counts: how many; storage: "mcap" or "sqlite3"; start: first log time,
    nanoseconds; problems: what is broken and where, a line each, growing while messages are read.
    Use as a context manager.
    Raise FileNotFoundError where there is nothing, ValueError where nothing can be read.
    """

    def __init__(self, path: Path) -> None:
        self.types = own_types()
        self._recording = Recording(path)
        self.problems, self.topics = self._recording.problems, self._recording.topics
        self.storage, self.start = self._recording.storage, self._recording.start
        self.counts = self._recording.counts()
        self._by_type = by_type = self._recording.counts_by_type()
        # Of several types the one that has most messages: it is the last of the topic's.
        self.kinds = {
            topic.name: topic.kind
            for topic in sorted(self.topics, key=lambda t: by_type[t.name, t.kind])
            if by_type[topic.name, topic.kind] and topic.is_cdr
        }
        self._others: set[tuple[str, str]] = set()

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the bag."""
        self._recording.close()

    def told(self, words: str) -> str:
        """Return an error's words with what is broken so far, which may be why."""
        return "; ".join([words, *self.problems])

    def topics_of(self, *kinds: str) -> list[str]:
        """Return the topics of some message types, by name."""
        return sorted(topic for topic, kind in self.kinds.items() if kind in kinds)

    def entries(self, topics: Container[str]) -> Iterator[Entry]:
        """Yield where the messages of some topics lie, by rising log time."""
        return (entry for entry in self._recording.entries() if entry.topic.name in topics)

    def messages(self, topics: Container[str]) -> Iterator[BagMessage]:
        """Yield the messages of some topics; one that cannot be read is a problem, not an end."""
        return (found for entry in self.entries(topics) if (found := self.read(entry)))

    def is_left_out(self, entry: Entry) -> bool:
        """Return whether a message is of another type than its topic, which is then a problem."""
        topic, kind = entry.topic.name, entry.topic.kind
        if kind == (known := self.kinds.get(topic, kind)):
            return False
        if (topic, kind) not in self._others:
            self._others.add((topic, kind))
            count = self._by_type[topic, kind]
            self.problems.append(f"{topic}: its {kind} are left out ({count}), it is of {known}")
        return True

    def read(self, entry: Entry) -> BagMessage | None:
        """Return a message; None, with a problem noted, where it cannot be read."""
        topic, kind = entry.topic, entry.topic.kind
        if self.is_left_out(entry):
            return None
        try:
            data = self._recording.data(entry)
            message = self.types.deserialize_cdr(data, kind)
        # A damaged message fails in as many ways as its type has fields.
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.problems.append(f"{topic.name} at {entry.time / 1e9:.6f} s: unreadable ({reason})")
            return None
        return BagMessage(entry, kind, data, message)

    def stamp(self, entry: Entry) -> int | None:
        """Return the stamp of a message that begins with a header, nanoseconds, or None.

        None, too, for what is no time, and of a message that is left out. Of large messages this is
        much quicker than to read them.
        """
        if self.is_left_out(entry):
            return None
        try:
            data = self._recording.data(entry)
            # CDR: the second byte tells the order, the stamp lies behind the fourth.
            order = "<" if data[1] & 1 else ">"
            seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, 4)
        except (ValueError, IndexError, struct.error):
            return None
        is_time = seconds >= 0 and nanoseconds < 10**9
        return seconds * 10**9 + nanoseconds if is_time else None

    def raw(self, entry: Entry) -> bytes | None:
        """Return a message's bytes; None, with a problem noted, where they cannot be had."""
        try:
            return self._recording.data(entry)
        except ValueError as error:
            self.problems.append(f"{entry.topic.name} at {entry.time / 1e9:.6f} s: {error}")
            return None


def stamp_ns(header: Any) -> int:
    """Return a header's stamp in nanoseconds."""
    return header.stamp.sec * 10**9 + header.stamp.nanosec
