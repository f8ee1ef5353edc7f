"""What the files of a bag have in common, whichever storage they are of."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

# Log times are signed 64-bit integers in rosbag2.
LARGEST_TIME = (1 << 63) - 1


class UnreadableMessage(ValueError):  # noqa: N818 - what happened to the message
    """Say why the bytes of a message cannot be had, and where they should be."""


class Ros1Bag(ValueError):  # noqa: N818 - what the file is
    """Say that a file is of ROS 1, and what to do."""

    def __init__(self, name: Path | str) -> None:
        super().__init__(
            f"{name} holds messages of ROS 1; convert the ROS 1 bag first (pip install rosbags): "
            "rosbags-convert --src NAME.bag --dst FOLDER"
        )


@dataclass(frozen=True)
class Topic:
    """Describe a topic as a bag does.

    kind: message type ("sensor_msgs/msg/Image"); definition, its format ("ros2msg",
    "ros2idl"): text, "" where the bag does not carry it; digest: RIHS01 hash or "";
    qos: the publishers' profiles as YAML, "" where unknown; serialization: "cdr", "" says the same.
    """

    name: str
    kind: str
    definition: str = ""
    definition_format: str = ""
    digest: str = ""
    qos: str = ""
    serialization: str = "cdr"

    @property
    def is_cdr(self) -> bool:
        """Whether its messages are in CDR."""
        return self.serialization in ("cdr", "")


def ros2_kind(kind: str) -> str:
    """Return a message type in ROS 2's spelling; some writers leave out the `msg`."""
    package, _, name = kind.partition("/")
    return kind if "/" in name or not name else f"{package}/msg/{name}"


@dataclass
class Columns:
    """Hold where each message of a file lies, one value per message in each column.

    topics: position in the file's list of topics; times: log time, nanoseconds; places: three
    numbers that mean something to the storage.
    """

    topics: array = field(default_factory=lambda: array("q"))
    times: array = field(default_factory=lambda: array("q"))
    places: tuple[array, array, array] = field(
        default_factory=lambda: (array("q"), array("q"), array("q"))
    )

    def add(self, topic: int, time: int, *place: int) -> None:
        """Note a message."""
        self.topics.append(topic)
        self.times.append(time)
        for column, value in zip(self.places, place, strict=True):
            column.append(value)

    def place(self, index: int) -> tuple[int, int, int]:
        """Return the place of a message."""
        first, second, third = self.places
        return first[index], second[index], third[index]


class Storage(Protocol):
    """Read a bag's file as far as it can be read.

    name: what its errors call it; topics: of the file; columns: its messages, in the order of the
    file as far as that says at once what they are; problems: what is broken and where, a line each.
    """

    name: str
    topics: list[Topic]
    columns: Columns
    problems: list[str]

    def data(self, index: int) -> bytes:
        """Return a message's bytes; raise UnreadableMessage."""

    def close(self) -> None:
        """Close the file."""
