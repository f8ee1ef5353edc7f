"""Read rosbag2's sqlite3 files, as far as they can be read."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Container
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from panoptic_ros.bags.storage import Columns, Topic, UnreadableMessage, ros2_kind

_MAGIC = b"SQLite format 3\x00"
# Without looking for a journal, which needs the right to write.
_AS_IT_IS = "mode=ro&immutable=1"


class Sqlite3File:
    """Read a .db3 file; see `Storage`.

    Messages are looked for from the front until the file breaks, then from the end.
    Raise ValueError for a file of another kind, or one whose list of topics is broken.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.topics: list[Topic] = []
        self.columns = Columns()
        self.problems: list[str] = []
        with path.open("rb") as file:
            head = file.read(100)
        if not _MAGIC.startswith(head[: len(_MAGIC)]):
            raise ValueError(f"{self.name} is no sqlite3 file: it begins with {head[:16]!r}")
        self._check_size(head, path.stat().st_size)
        if len(head) < 100:
            return
        self._database = _connect(path)
        try:
            # Text of any bytes.
            self._database.text_factory = lambda text: text.decode(errors="replace")
            # Reads a file that is shorter than it says, up to there.
            self._database.execute("PRAGMA writable_schema=ON")
            self._scan()
        except sqlite3.Error as error:
            self.close()
            words = f"{self.name} is not a bag that can be read: {error}"
            raise ValueError("; ".join([words, *self.problems])) from error

    def close(self) -> None:
        """Close the file."""
        with suppress(AttributeError):
            self._database.close()

    def data(self, index: int) -> bytes:
        """Return a message's bytes; raise UnreadableMessage."""
        row, _, _ = self.columns.place(index)
        try:
            found = self._database.execute("SELECT data FROM messages WHERE id=?", (row,))
            data = (found.fetchone() or (None,))[0]
        except sqlite3.Error as error:
            raise UnreadableMessage(f"{self.name}, message {row}: {error}") from error
        if not isinstance(data, bytes):
            raise UnreadableMessage(
                f"{self.name}, message {row}: {type(data).__name__} where bytes should be"
            )
        return data

    def _check_size(self, head: bytes, size: int) -> None:
        """Compare the size that the header states (SQLite file format, section 1.3)."""
        if len(head) < 100:
            self.problems.append(f"{self.name} is cut off after {size} bytes")
            return
        (page,) = struct.unpack_from(">H", head, 16)
        (pages,) = struct.unpack_from(">I", head, 28)
        stated = pages * (65536 if page == 1 else page)
        if size < stated:
            self.problems.append(f"{self.name} is cut off: {size} of {stated} bytes are there")

    def _scan(self) -> None:
        # A view can run without end.
        tables = {
            name
            for (name,) in self._database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
            )
        }
        if not {"topics", "messages"} <= tables:
            raise sqlite3.DatabaseError("it has no tables `topics` and `messages`")
        position = self._scan_topics("message_definitions" in tables)
        rows, error = self._rows("ASC")
        if error:
            last = next(reversed(rows), 0)
            behind, _ = self._rows("DESC", rows)
            rows |= behind
            self.problems.append(f"{self.name} is damaged behind message {last}: {error}")
        self._check_count(len(rows))
        unreadable: list[int] = []
        for row, (topic, time) in sorted(rows.items()):
            if topic in position and isinstance(time, int):
                self.columns.add(position[topic], time, row, 0, 0)
            else:
                unreadable.append(row)
        if unreadable:
            self.problems.append(
                f"{self.name} has {len(unreadable)} messages without a topic that it lists or "
                f"without a whole number as time, the first is message {unreadable[0]}"
            )

    def _scan_topics(self, has_definitions: bool) -> dict[object, int]:
        """Note the topics; return the position of each by its key."""
        columns = {row[1] for row in self._database.execute("PRAGMA table_info(topics)")}
        chosen = ["id", "name", "type", "serialization_format"]
        optional = ["offered_qos_profiles", "type_description_hash"]
        chosen += [name if name in columns else "''" for name in optional]
        # They came with Iron.
        definitions = self._definitions() if has_definitions else {}
        position: dict[object, int] = {}
        for key, name, kind, *rest in self._database.execute(
            f"SELECT {', '.join(chosen)} FROM topics ORDER BY id"
        ):
            if not (isinstance(name, str) and isinstance(kind, str)):
                self.problems.append(
                    f"{self.name}: topic {key} has the name {name!r:.80} and the type {kind!r:.80}"
                )
                continue
            serialization, qos, digest = (v if isinstance(v, str) else "" for v in rest)
            text, form = definitions.get(kind, ("", ""))
            position[key] = len(self.topics)
            self.topics.append(Topic(name, ros2_kind(kind), text, form, digest, qos, serialization))
        return position

    def _definitions(self) -> dict[str, tuple[str, str]]:
        """Return the text of each type's definition and its format."""
        rows = self._database.execute(
            "SELECT topic_type, encoded_message_definition, encoding FROM message_definitions"
        )
        return {row[0]: row[1:] for row in rows if all(isinstance(v, str) for v in row)}

    def _check_count(self, found: int) -> None:
        """Compare what was read with the index on time: a page may seem to hold nothing."""
        query = "SELECT count(*) FROM messages INDEXED BY timestamp_idx"
        try:
            (stated,) = self._database.execute(query).fetchone()
        except sqlite3.OperationalError:  # it has none
            return
        except sqlite3.DatabaseError as error:
            self.problems.append(f"{self.name} is damaged in its index on time: {error}")
            return
        if found < stated:
            self.problems.append(
                f"{self.name} states {stated} messages in its index on time, {found} can be read"
            )

    def _rows(
        self, order: str, known: Container[int] = ()
    ) -> tuple[dict[int, tuple[object, object]], str]:
        """Return topic and log time by row, from an end on up to where it breaks, and why.

        known: rows that were found from the other end, where this one stops.
        """
        found: dict[int, tuple[object, object]] = {}
        before: int | None = None
        try:
            # Not by the index on time, which lies between the messages and breaks with them, nor
            # from a row on: a number that is damaged leads the search for it past others.
            for row, topic, time in self._database.execute(
                f"SELECT id, topic_id, timestamp FROM messages NOT INDEXED ORDER BY id {order}"
            ):
                if not isinstance(row, int):
                    continue
                if row in known:
                    break
                if before is not None and (row <= before) == (order == "ASC"):
                    return found, f"message {row} comes behind message {before}"
                found[row], before = (topic, time), row
        except sqlite3.Error as error:
            return found, str(error)
        return found, ""


def _connect(path: Path) -> sqlite3.Connection:
    """Open for reading; with what a recorder that was killed left beside it, where possible."""
    # Bytes: a name need not be Unicode.
    address = f"file:{quote(os.fsencode(path.absolute()))}"
    for mode in ("mode=ro", _AS_IT_IS):
        # Read by one thread at a time, which need not be this one.
        database = sqlite3.connect(f"{address}?{mode}", uri=True, check_same_thread=False)
        try:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return database
        except sqlite3.OperationalError:
            database.close()
        except sqlite3.DatabaseError:
            return database
    return sqlite3.connect(f"{address}?{_AS_IT_IS}", uri=True, check_same_thread=False)
