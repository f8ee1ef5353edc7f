"""Write what the node would publish to a rosbag2."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import (
    CompressionFormat,
    CompressionMode,
    StoragePlugin,
    Writer,
    WriterError,
)
from rosbags.typesys.store import Typestore

from panoptic_ros.bags import Topic
from panoptic_ros.bags.layout import LATCHED, VERSION
from panoptic_ros.fusion import FusionOptions
from panoptic_ros.labels import LabelSet
from panoptic_ros.output_messages import (
    LATCHED_OUTPUTS,
    OUTPUT_KINDS,
    Answer,
    OutputMessages,
    Placed,
)

NODE = "/panoptic"
# rosbags writes sqlite3 by a URI that it makes of the path as it is: behind these the name is
# lost, and the bag is elsewhere.
_NO_PATH_OF_URIS = frozenset("?#%")
_LATCHED_TOPICS = {f"{NODE}/{name}" for name in LATCHED_OUTPUTS} | {"/tf_static"}


class PanopticBag:
    """Write the node's topics, and copies of recorded messages; closed, the bag is complete.

    A killed process leaves everything before the current frame. Raise OSError that names the bag
    where it cannot be written, ValueError where its path has characters that rosbags' sqlite3
    writer loses, or is there already.
    """

    def __init__(self, path: Path, storage: str, types: Typestore, labels: LabelSet) -> None:
        if storage != "mcap" and not _NO_PATH_OF_URIS.isdisjoint(str(path)):
            raise ValueError(
                f"{path}: a bag in sqlite3 cannot be written to a path with ? # or %; choose "
                "another --out"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
        with self._named():
            self._writer = Writer(path, version=VERSION, storage_plugin=plugin)
        if plugin is StoragePlugin.MCAP:
            # Compressed in chunks, as every MCAP reader expects: a quarter of the size.
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._types, self._labels = types, labels
        self._messages = OutputMessages(types.types.__getitem__, np.asarray)
        self._connections: dict[tuple[str, str], Any] = {}
        # rosbags knows the types of ROS 2's core and those that the bag defines.
        self._outputs = [name for name, kind in OUTPUT_KINDS.items() if kind in types.types]

    def __enter__(self) -> PanopticBag:
        with self._named():
            self._writer.open()
            for name in self._outputs:
                self._connect(f"{NODE}/{name}", OUTPUT_KINDS[name])
        return self

    def __exit__(self, *_: object) -> None:
        with self._named():
            self._writer.close()

    def add_infos(self, time: int, options: FusionOptions) -> None:
        """Write the meaning of the labels, once, before the first frame."""
        stamp = self._types.types["builtin_interfaces/msg/Time"](*divmod(time, 10**9))
        self._write(time, self._messages.infos(self._labels, options, stamp, self._outputs))

    def add_answer(self, time: int, answer: Answer) -> None:
        """Write the images of a frame at its log time."""
        self._write(time, self._messages.images(answer, self._outputs))

    def add_placed(self, time: int, placed: Placed) -> None:
        """Write what the ground stage made of a frame, the last of it."""
        self._write(time, self._messages.placed(placed, self._outputs))
        self._save()

    def copy(self, topic: Topic, time: int, data: bytes) -> None:
        """Write a recorded message as it was.

        Raise KeyError where its type is unknown and the bag does not define it.
        """
        key = topic.name, topic.kind
        if key not in self._connections:
            self._connect_copy(topic)
        with self._named():
            self._writer.write(self._connections[key], time, data)

    def _connect_copy(self, topic: Topic) -> None:
        if topic.is_cdr and topic.kind in self._types.types:
            self._connect(topic.name, topic.kind)
            return
        if not topic.definition or not topic.digest:
            raise KeyError(topic.kind)
        self._connections[topic.name, topic.kind] = self._writer.add_connection(
            topic.name,
            topic.kind,
            msgdef=topic.definition,
            rihs01=topic.digest,
            serialization_format=topic.serialization,
        )

    def _write(self, time: int, messages: Iterable[tuple[str, Any]]) -> None:
        for name, message in messages:
            connection = self._connections[f"{NODE}/{name}", OUTPUT_KINDS[name]]
            data = self._types.serialize_cdr(message, connection.msgtype)
            with self._named():
                self._writer.write(connection, time, data)

    def _save(self) -> None:
        """Put what is written on the disk, as far as rosbags' writers of today let one."""
        storage: Any = self._writer.storage
        with self._named():
            if hasattr(storage, "conn"):
                # sqlite3 takes back what was not committed.
                storage.conn.commit()
            elif hasattr(storage, "close_chunk"):
                storage.close_chunk()
                storage.bio.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the bag in errors of the disk, and where another replay has begun it."""
        try:
            yield
        except WriterError as error:
            raise ValueError(f"{str(error).rstrip('.')}: choose another --out") from error
        except (OSError, sqlite3.Error) as error:
            raise OSError(f"{self._path} cannot be written any further: {error}") from error

    def _connect(self, topic: str, kind: str) -> None:
        self._connections[topic, kind] = self._writer.add_connection(
            topic,
            kind,
            typestore=self._types,
            offered_qos_profiles=[LATCHED] if topic in _LATCHED_TOPICS else [],
        )
