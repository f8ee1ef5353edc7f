"""Read a rosbag2 in the order of its log times, and everything readable of a damaged one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_ros.bags.compression import ZSTD_MAGIC, decompress_file, decompress_message
from panoptic_ros.bags.mcap import McapFile
from panoptic_ros.bags.sqlite3 import Sqlite3File
from panoptic_ros.bags.storage import Ros1Bag, Storage, Topic
from panoptic_ros.documents import parse_yaml
from panoptic_ros.whole_files import stranger

METADATA = "metadata.yaml"
# Of a file, on every file system.
_LONGEST_NAME = 255
# PyYAML reads about 100 kB a second; a topic takes less than one.
_MOST_METADATA_BYTES = 1 << 20
_ROS1_MAGIC = b"#ROSBAG V"
_STORAGES: dict[str, Callable[[Path, str], Storage]] = {".mcap": McapFile, ".db3": Sqlite3File}
STORAGE_NAMES = {".mcap": "mcap", ".db3": "sqlite3"}


@dataclass(frozen=True)
class Entry:
    """Point to one message of a recording.

    time: log time, nanoseconds; file, index: where it lies.
    """

    topic: Topic
    time: int
    file: int
    index: int


class Recording:
    """Read a bag: a folder with metadata.yaml, its files without it, or one such file.

    topics: each topic once per type; problems: what is broken and where, a line each; storage:
    "mcap" or "sqlite3".
    Raise FileNotFoundError where there is nothing, ValueError where nothing can be read.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise FileNotFoundError(f"there is no bag {path}")
        if not (path.is_dir() or path.is_file()):
            raise ValueError(f"{path} is neither a folder nor a file")
        self.path = path
        self.problems: list[str] = []
        self._files: list[Storage] = []
        self._unpacked: list[Any] = []
        information = self._information() if path.is_dir() else {}
        paths = self._paths(information) if path.is_dir() else [path]
        refusals = []
        for file in paths:
            try:
                self._files.append(self._open(file))
            except (OSError, ValueError) as error:
                refusals.append(str(error))
        if not self._files:
            self.close()
            refusals = refusals or [f"{path} is not a bag that can be read: it has no files"]
            raise ValueError("; ".join([*refusals, *self.problems]))
        self.problems += refusals + [p for file in self._files for p in file.problems]
        self.problems += self._missing(information)
        self.storage = STORAGE_NAMES[_suffix(Path(self._files[0].name))]
        self._order()

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
        for folder in self._unpacked:
            folder.cleanup()

    @property
    def topics(self) -> list[Topic]:
        """Topics, by name; of a topic in several files the one that carries its definition."""
        found: dict[tuple[str, str], Topic] = {}
        for file in self._files:
            for topic in file.topics:
                key = (topic.name, topic.kind)
                if key not in found or (topic.definition and not found[key].definition):
                    found[key] = topic
        return [found[key] for key in sorted(found)]

    def counts(self) -> Counter[str]:
        """Return the number of messages of each topic."""
        counts: Counter[str] = Counter()
        for (name, _), number in self.counts_by_type().items():
            counts[name] += number
        return counts

    def counts_by_type(self) -> Counter[tuple[str, str]]:
        """Return the number of messages of each topic and type."""
        counts: Counter[tuple[str, str]] = Counter()
        for file in self._files:
            numbers = np.bincount(np.asarray(file.columns.topics, int), minlength=len(file.topics))
            for topic, number in zip(file.topics, numbers.tolist(), strict=True):
                counts[topic.name, topic.kind] += number
        return counts

    def __len__(self) -> int:
        return len(self._times)

    @property
    def start(self) -> int:
        """Log time of the first message, nanoseconds; 0 where there is none."""
        return int(self._times[0]) if len(self) else 0

    def entries(self) -> Iterator[Entry]:
        """Yield all messages by rising log time; equal ones in the files' order."""
        for file, index in zip(self._owners.tolist(), self._indices.tolist(), strict=True):
            storage = self._files[file]
            topic = storage.topics[storage.columns.topics[index]]
            yield Entry(topic, storage.columns.times[index], file, index)

    def data(self, entry: Entry) -> bytes:
        """Return a message's bytes, decompressed; raise UnreadableMessage."""
        storage = self._files[entry.file]
        data = storage.data(entry.index)
        return decompress_message(data, storage.name) if data.startswith(ZSTD_MAGIC) else data

    def _order(self) -> None:
        counts = [len(file.columns.times) for file in self._files]
        times = np.concatenate([np.asarray(f.columns.times, np.int64) for f in self._files])
        owners = np.repeat(np.arange(len(counts)), counts)
        indices = np.concatenate([np.arange(n) for n in counts])
        order = np.argsort(times, kind="stable")
        self._times, self._owners, self._indices = times[order], owners[order], indices[order]

    def _information(self) -> dict[str, Any]:
        """Return what metadata.yaml says; {} where it is missing or broken, which is noted."""
        file = self.path / METADATA
        rest = "the bag's files are taken by their names"
        if not file.exists():
            self.problems.append(f"{file} is missing: {rest}")
            return {}
        try:
            with file.open("rb") as opened:
                content = opened.read(_MOST_METADATA_BYTES + 1)
            if len(content) > _MOST_METADATA_BYTES:
                raise ValueError(f"{file} is larger than {_MOST_METADATA_BYTES} bytes")
            information = parse_yaml(content, str(file))["rosbag2_bagfile_information"]
            if not isinstance(information, dict):
                raise TypeError
            return information
        except (TypeError, KeyError):
            self.problems.append(f"{file} has no rosbag2_bagfile_information: {rest}")
        except (OSError, ValueError) as error:
            self.problems.append(f"{error}: {rest}")
        return {}

    def _paths(self, information: dict[str, Any]) -> list[Path]:
        """Return the bag's files in order."""
        names = information.get("relative_file_paths")
        names = names if isinstance(names, list) else []
        named = [Path(n).name for n in names if isinstance(n, str) and Path(n).name]
        # A file that is named twice has its messages once.
        named = [*dict.fromkeys(named)]
        # Not asked for by their names, which may be none that a file can have.
        there = {file.name: file for file in self.path.iterdir() if file.is_file()}
        present = [there[name] for name in named if name in there]
        self.problems += [
            f"{self.path / n[:_LONGEST_NAME]} is missing" for n in named if n not in there
        ]
        # macOS puts files of its own beside others, `._NAME`.
        shown = [f for f in there.values() if not f.name.startswith(".")]
        files = sorted((f for f in shown if _suffix(f) in (*_STORAGES, ".bag")), key=_natural)
        if not present:
            return files
        # A recorder that was killed has not named its last file. One that was unpacked is none.
        taken = {_unpacked_name(file) for file in present}
        self.problems += [
            f"{file} is left out, as {self.path / METADATA} does not name it; to read it, too, "
            f"remove {METADATA}, or write it anew (ros2 bag reindex)"
            for file in files
            if _suffix(file) == _suffix(present[0]) and _unpacked_name(file) not in taken
        ]
        return present

    def _missing(self, information: dict[str, Any]) -> list[str]:
        """Compare what was read with the numbers of messages in metadata.yaml."""
        found, lost = self.counts(), []
        entries = information.get("topics_with_message_count")
        for entry in entries if isinstance(entries, list) else []:
            try:
                name, stated = entry["topic_metadata"]["name"], entry["message_count"]
                if found[name] < stated:
                    lost.append(f"{found[name]} of {stated} on {name}")
            except (TypeError, KeyError):
                continue
        total = information.get("message_count")
        if not lost and isinstance(total, int) and found.total() < total:
            lost.append(f"{found.total()} of {total}")
        if not lost:
            return []
        file = self.path / METADATA
        return [f"of the messages that {file} counts these can be read: {', '.join(lost)}"]

    def _open(self, path: Path) -> Storage:
        with path.open("rb") as file:
            begin = file.read(64)
        magic = begin[: len(_ROS1_MAGIC)]
        if magic == _ROS1_MAGIC:
            raise Ros1Bag(path)
        if words := stranger(begin):
            raise ValueError(f"{path} {words}")
        suffix = _suffix(path)
        if suffix not in _STORAGES:
            raise ValueError(
                f"{path} is not a bag: give a folder, or a file that ends in "
                f"{' or '.join(_STORAGES)}"
            )
        if not magic.startswith(ZSTD_MAGIC):
            return _STORAGES[suffix](path, str(path))
        folder, unpacked, problem = decompress_file(path)
        self._unpacked.append(folder)
        if problem:
            self.problems.append(problem)
        # Nobody knows the place that it is unpacked to; it is gone afterwards.
        return _STORAGES[suffix](unpacked, str(path))


def _suffix(path: Path) -> str:
    """Return the suffix that names the storage, of a compressed file too."""
    return Path(_unpacked_name(path)).suffix


def _unpacked_name(path: Path) -> str:
    return path.name.lower().removesuffix(".zstd")


def _natural(path: Path) -> list[int | str]:
    """Return a key by which drive_10 comes after drive_9."""
    return [int(t) if t.isdecimal() else t for t in re.split(r"(\d+)", path.name)]
