"""Read rosbag2's sqlite3 files, as far as they can be read."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from panoptic_ros.bags.storage import Columns, Topic, UnreadableMessage

_MAGIC = b"SQLite format 3\x00"
# Without looking for a journal, which needs the right to write.
_AS_IT_IS = "mode=ro&immutable=1"


class Sqlite3File:
    """Read a .db3 file; see `Storage`.

    Messages are looked for from the front until the file breaks, then from the end.
    Raise ValueError for a file of another kind, or one whose list of topics is broken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.topics: list[Topic] = []
        self.columns = Columns()
        self.problems: list[str] = []
        with path.open("rb") as file:
            head = file.read(100)
        if not _MAGIC.startswith(head[: len(_MAGIC)]):
            raise ValueError(f"{path} is no sqlite3 file: it begins with {head[:16]!r}")
        self._check_size(head)
        if len(head) < 100:
            return
        self._database = _connect(path)
        try:
            # Reads a file that is shorter than it says, up to there.
            self._database.execute("PRAGMA writable_schema=ON")
            self._scan()
        except sqlite3.Error as error:
            self.close()
            raise ValueError(f"{path} is not a bag that can be read: {error}") from error

    def close(self) -> None:
        """Close the file."""
        with suppress(AttributeError):
            self._database.close()

    def data(self, index: int) -> bytes:
        """Return a message's bytes; raise UnreadableMessage."""
        row, _, _ = self.columns.place(index)
        try:
            found = self._database.execute("SELECT data FROM messages WHERE id=?", (row,))
            return bytes(found.fetchone()[0])
        except (sqlite3.Error, TypeError) as error:
            raise UnreadableMessage(f"{self.path}, message {row}: {error}") from error

    def _check_size(self, head: bytes) -> None:
        """Compare the size that the header states (SQLite file format, section 1.3)."""
        size = self.path.stat().st_size
        if len(head) < 100:
            self.problems.append(f"{self.path} is cut off after {size} bytes")
            return
        (page,) = struct.unpack_from(">H", head, 16)
        (pages,) = struct.unpack_from(">I", head, 28)
        stated = pages * (65536 if page == 1 else page)
        if size < stated:
            self.problems.append(f"{self.path} is cut off: {size} of {stated} bytes are there")

    def _scan(self) -> None:
        topics = self._columns_of("topics")
        chosen = ["id", "name", "type", "serialization_format"]
        optional = ["offered_qos_profiles", "type_description_hash"]
        chosen += [name if name in topics else "''" for name in optional]
        definitions = self._definitions()
        position: dict[int, int] = {}
        for key, name, kind, serialization, qos, digest in self._database.execute(
            f"SELECT {', '.join(chosen)} FROM topics ORDER BY id"
        ):
            position[key] = len(self.topics)
            text, form = definitions.get(kind, ("", ""))
            self.topics.append(Topic(name, kind, text, form, digest, qos, serialization))
        rows, error = self._rows("ASC")
        if error:
            last = max(rows, default=0)
            behind, _ = self._rows("DESC", last)
            rows |= behind
            self.problems.append(f"{self.path} is damaged behind message {last}: {error}")
        for row, (topic, time) in sorted(rows.items()):
            self.columns.add(position[topic], time, row, 0, 0)

    def _columns_of(self, table: str) -> set[str]:
        return {row[1] for row in self._database.execute(f"PRAGMA table_info({table})")}

    def _definitions(self) -> dict[str, tuple[str, str]]:
        """Return the text of each type's definition and its format; they came with Iron."""
        if not self._columns_of("message_definitions"):
            return {}
        rows = self._database.execute(
            "SELECT topic_type, encoded_message_definition, encoding FROM message_definitions"
        )
        return {kind: (text, form) for kind, text, form in rows}

    def _rows(self, order: str, after: int = 0) -> tuple[dict[int, tuple[int, int]], str]:
        """Return topic and log time by row, from an end on up to where it breaks, and why."""
        found: dict[int, tuple[int, int]] = {}
        try:
            # Not by the index on time, which lies between the messages and breaks with them.
            for row, topic, time in self._database.execute(
                "SELECT id, topic_id, timestamp FROM messages NOT INDEXED "
                f"WHERE id > ? AND topic_id IN (SELECT id FROM topics) ORDER BY id {order}",
                (after,),
            ):
                found[row] = (topic, time)
        except sqlite3.Error as error:
            return found, str(error)
        return found, ""


def _connect(path: Path) -> sqlite3.Connection:
    """Open for reading; with what a recorder that was killed left beside it, where possible."""
    address = f"file:{quote(str(path.absolute()))}"
    for mode in ("mode=ro", _AS_IT_IS):
        database = sqlite3.connect(f"{address}?{mode}", uri=True)
        try:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return database
        except sqlite3.OperationalError:
            database.close()
        except sqlite3.DatabaseError:
            return database
    return sqlite3.connect(f"{address}?{_AS_IT_IS}", uri=True)
