"""Read a rosbag2 in the order of its log times, and everything readable of a damaged one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from panoptic_ros.bags.compression import decompress_file, decompress_message
from panoptic_ros.bags.mcap import McapFile
from panoptic_ros.bags.sqlite3 import Sqlite3File
from panoptic_ros.bags.storage import Storage, Topic

METADATA = "metadata.yaml"
_STORAGES = {".mcap": McapFile, ".db3": Sqlite3File}
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
    "mcap" or "sqlite3". Use as a context manager.
    Raise FileNotFoundError where there is nothing, ValueError where nothing can be read.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise FileNotFoundError(f"there is no bag {path}")
        self.path = path
        self.problems: list[str] = []
        self._files: list[Storage] = []
        self._unpacked: list[Any] = []
        information = self._information() if path.is_dir() else {}
        self._by_message = str(information.get("compression_mode", "")).lower() == "message"
        paths = self._paths(information) if path.is_dir() else [path]
        refusals = []
        for file in paths:
            try:
                self._files.append(self._open(file))
            except (OSError, ValueError) as error:
                refusals.append(str(error))
        if not self._files:
            self.close()
            raise ValueError(
                "; ".join(refusals) or f"{path} is not a bag that can be read: it has no files"
            )
        self.problems += refusals + [p for file in self._files for p in file.problems]
        self.storage = STORAGE_NAMES[_suffix(paths[0])]
        self._order()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        for file in self._files:
            numbers = np.bincount(np.asarray(file.columns.topics, int), minlength=len(file.topics))
            for topic, number in zip(file.topics, numbers.tolist(), strict=True):
                counts[topic.name] += number
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
        """Return a message's bytes; raise UnreadableMessage."""
        storage = self._files[entry.file]
        data = storage.data(entry.index)
        return decompress_message(data, storage.path) if self._by_message else data

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
            return dict(yaml.safe_load(file.read_text())["rosbag2_bagfile_information"])
        except (OSError, yaml.YAMLError, TypeError, KeyError, ValueError) as error:
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.problems.append(f"{file} cannot be read ({words}): {rest}")
            return {}

    def _paths(self, information: dict[str, Any]) -> list[Path]:
        """Return the bag's files in order."""
        named = [self.path / Path(str(p)).name for p in information.get("relative_file_paths", [])]
        for file in named:
            if not file.exists():
                self.problems.append(f"{file} is missing")
        present = [file for file in named if file.exists()]
        if not present:
            present = [f for f in self.path.iterdir() if _suffix(f) in _STORAGES]
            present.sort(key=_natural)
        return [file for file in present if _suffix(file) in _STORAGES]

    def _open(self, path: Path) -> Storage:
        suffix = _suffix(path)
        if suffix not in _STORAGES:
            raise ValueError(
                f"{path} is not a bag: give a folder, or a file that ends in "
                f"{' or '.join(_STORAGES)}"
            )
        if path.suffix == ".zstd":
            folder, unpacked, problem = decompress_file(path)
            self._unpacked.append(folder)
            if problem:
                self.problems.append(problem)
            path = unpacked
        return _STORAGES[suffix](path)


def _suffix(path: Path) -> str:
    """Return the suffix that names the storage, of a compressed file too."""
    return Path(path.stem).suffix if path.suffix == ".zstd" else path.suffix


def _natural(path: Path) -> list[int | str]:
    """Return a key by which drive_10 comes after drive_9."""
    return [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", path.name)]
