"""Read MCAP files record by record, with or without their index, and up to where they break.

Source: MCAP format specification, version 0.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import lz4.frame

from panoptic_ros.bags.compression import (
    MOST_BYTES,
    PIECE_BYTES,
    ZstdDecompressor,
    ZstdError,
    inflated,
)
from panoptic_ros.bags.storage import (
    LARGEST_TIME,
    Columns,
    Ros1Bag,
    Topic,
    UnreadableMessage,
    ros2_kind,
)

MAGIC = b"\x89MCAP0\r\n"
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 1, 2, 3, 4, 5, 6
_MESSAGE_INDEX, _STATISTICS, _DATA_END = 0x07, 0x0B, 0x0F
_IN_CHUNKS = (_SCHEMA, _CHANNEL, _MESSAGE)
_RECORD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_CHUNK_HEAD = struct.Struct("<QQQII")
_FOOTER_BODY = struct.Struct("<QQI")
_STATISTICS_HEAD = struct.Struct("<QHIIIIQQI")
_INDEX_HEAD = struct.Struct("<HI")
_INDEX_ENTRY_BYTES = 16
_LARGEST_OPCODE = _DATA_END
# Opcodes from here on are for private use.
_FIRST_PRIVATE_OPCODE = 0x80
_OUTSIDE_CHUNKS = -1
_CACHED_CHUNKS = 4
_CACHED_BYTES = 1 << 28
_MOST_PROBLEMS = 50


class McapFile:
    """Read an MCAP file; see `Storage`.

    Chunks that fail their checksum or cannot be decompressed are left out and named. Of a
    chunk that the end of the file cuts, what is there is read. What was read is compared with
    the file's own statistics.
    Raise ValueError for a file of another kind, Ros1Bag for one with ROS 1's messages.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.topics: list[Topic] = []
        self.columns = Columns()
        self.problems: list[str] = []
        self._schemas: dict[int, tuple[str, str, str]] = {}
        self._channels: dict[int, int] = {}
        # Messages whose channel is not known yet: their topic is the channel's number.
        self._early = Columns()
        self._timeless = 0
        # Message counts by channel; None: all of them, where the file has no statistics.
        self._stated: dict[int | None, int] = {}
        # The same by the indexes of the chunks, which a recorder that is killed has written, too.
        self._indexed: Counter[int | None] = Counter()
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._file = path.open("rb")
        try:
            self._size = path.stat().st_size
            self._scan()
            self._check_counts()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._chunks.clear()

    def data(self, index: int) -> bytes:
        """Return a message's bytes; raise UnreadableMessage."""
        chunk, start, size = self.columns.place(index)
        try:
            if chunk == _OUTSIDE_CHUNKS:
                self._file.seek(start)
                data = self._file.read(size)
            else:
                data = self._chunk(chunk)[start : start + size]
        except OSError as error:
            raise UnreadableMessage(f"{self.name} at byte {max(chunk, start)}: {error}") from error
        if len(data) < size:
            raise UnreadableMessage(f"{self.name} at byte {max(chunk, start)}: shorter than before")
        return data

    def _scan(self) -> None:
        """Note all messages; stop where the records end or break."""
        magic = self._file.read(len(MAGIC))
        if not MAGIC.startswith(magic):
            raise ValueError(f"{self.name} is no MCAP file: it begins with {magic!r}")
        if len(magic) < len(MAGIC):
            self._problem(f"is cut off after {len(magic)} bytes")
            return
        while True:
            offset = self._file.tell()
            head = self._file.read(_RECORD.size)
            if len(head) < _RECORD.size:
                self._problem(f"ends at byte {self._size} without a footer: it is cut off")
                break
            opcode, length = _RECORD.unpack(head)
            if opcode == _FOOTER:
                self._check_footer(offset, length)
                break
            if not 0 < opcode <= _LARGEST_OPCODE and opcode < _FIRST_PRIVATE_OPCODE:
                self._problem(f"is damaged at byte {offset}: there is no record 0x{opcode:02x}")
                break
            end = offset + _RECORD.size + length
            self._take(opcode, offset, length)
            if end > self._size:
                self._problem(
                    f"is cut off at byte {self._size}, in a record of {length} bytes that begins "
                    f"at byte {offset}"
                )
                break
            self._file.seek(end)
        orphans = self._take_early()
        if orphans:
            self._problem(f"has {orphans} messages of channels that it does not describe")
        if self._timeless:
            self._problem(f"has {self._timeless} messages with a log time beyond {LARGEST_TIME} ns")

    def _check_footer(self, offset: int, length: int) -> None:
        """Check the footer, behind which the magic comes again; the index is optional."""
        footer = self._file.read(min(length, _FOOTER_BODY.size))
        if len(footer) < _FOOTER_BODY.size or length != _FOOTER_BODY.size:
            self._problem(f"is damaged or cut off at byte {offset}: its footer has {length} bytes")
        elif self._file.read(len(MAGIC)) != MAGIC:
            self._problem(f"is damaged or cut off behind its footer at byte {offset}")

    def _check_counts(self) -> None:
        """Compare what was read with what statistics, or else the chunks' indexes, say."""
        if self.topics and all(topic.serialization == "ros1" for topic in self.topics):
            raise Ros1Bag(self.name)
        found: Counter[int | None] = Counter(self.columns.topics)
        found[None] = len(self.columns.topics)
        source = "statistics" if self._stated else "chunks' indexes"
        for channel, stated in (self._stated or self._indexed).items():
            position = None if channel is None else self._channels.get(channel, -1)
            if found[position] < stated:
                named = position is not None and position >= 0
                topic = f" on {self.topics[position or 0].name}" if named else ""
                self._problem(
                    f"states {stated} messages{topic} in its {source}, "
                    f"{found[position]} can be read"
                )

    def _take(self, opcode: int, offset: int, length: int) -> None:
        """Read a record outside chunks; the file stands behind its head."""
        start = offset + _RECORD.size
        if opcode == _CHUNK:
            try:
                records = self._chunk(offset)
            except UnreadableMessage as error:
                self._problem(str(error).removeprefix(f"{self.name} "))
                return
            self._take_chunk(records, offset, is_cut=start + length > self._size)
        elif start + length <= self._size:
            if opcode == _MESSAGE:
                head = self._file.read(min(length, _MESSAGE_HEAD.size))
                self._take_message(head, length, _OUTSIDE_CHUNKS, start)
            elif opcode == _MESSAGE_INDEX and length >= _INDEX_HEAD.size:
                channel, size = _INDEX_HEAD.unpack(self._file.read(_INDEX_HEAD.size))
                self._indexed[channel] += size // _INDEX_ENTRY_BYTES
            elif opcode in (_HEADER, _SCHEMA, _CHANNEL, _STATISTICS):
                self._describe(opcode, self._file.read(length), offset)

    def _take_chunk(self, records: bytes, chunk: int, *, is_cut: bool) -> None:
        """Note the messages in a chunk's records, the last of which may be incomplete."""
        position = 0
        while position + _RECORD.size <= len(records):
            opcode, length = _RECORD.unpack_from(records, position)
            start = position + _RECORD.size
            if opcode not in _IN_CHUNKS and opcode < _FIRST_PRIVATE_OPCODE:
                break
            if start + length > len(records):
                break
            position = start + length
            if opcode == _MESSAGE:
                head = records[start : min(position, start + _MESSAGE_HEAD.size)]
                self._take_message(head, length, chunk, start)
            elif opcode in (_SCHEMA, _CHANNEL):
                self._describe(opcode, records[start:position], chunk)
        if position < len(records) and not is_cut:
            self._problem(
                f"is damaged at byte {chunk}: in a chunk of {len(records)} bytes there is no "
                f"record at {position}; the rest of it was left out"
            )

    def _take_message(self, head: bytes, length: int, chunk: int, start: int) -> None:
        if len(head) < _MESSAGE_HEAD.size:
            self._problem(f"is damaged at byte {max(chunk, start)}: a message without its head")
            return
        channel, _, log_time, _ = _MESSAGE_HEAD.unpack(head)
        place = chunk, start + _MESSAGE_HEAD.size, length - _MESSAGE_HEAD.size
        if log_time > LARGEST_TIME:
            self._timeless += 1
        elif channel in self._channels:
            self.columns.add(self._channels[channel], log_time, *place)
        else:
            self._early.add(channel, log_time, *place)

    def _take_early(self) -> int:
        """Note the messages whose channel is known by now; return how many are left.

        Where the chunk that describes a channel is damaged, the summary describes it, too.
        """
        early, orphans = self._early, 0
        for index, channel in enumerate(early.topics):
            if channel in self._channels:
                topic, time = self._channels[channel], early.times[index]
                self.columns.add(topic, time, *early.place(index))
            else:
                orphans += 1
        self._early = Columns()
        return orphans

    def _describe(self, opcode: int, body: bytes, offset: int) -> None:
        """Take in what tells about the file, its messages' types or channels."""
        name, take = {
            _HEADER: ("header", self._take_header),
            _SCHEMA: ("schema", self._take_schema),
            _CHANNEL: ("channel", self._take_channel),
            _STATISTICS: ("statistics", self._take_statistics),
        }[opcode]
        try:
            take(body)
        except (struct.error, UnicodeDecodeError):
            self._problem(f"is damaged at byte {offset}: a record ({name}) that cannot be read")

    def _take_header(self, body: bytes) -> None:
        (profile,), _ = _strings(body, 0, 1)
        if profile == "ros1":
            raise Ros1Bag(self.name)

    def _take_statistics(self, body: bytes) -> None:
        total, *_, size = _STATISTICS_HEAD.unpack_from(body)
        entries = body[_STATISTICS_HEAD.size :][:size]
        counts = dict(struct.iter_unpack("<HQ", entries[: len(entries) // 10 * 10]))
        self._stated = counts or {None: total}

    def _take_schema(self, body: bytes) -> None:
        (key,) = struct.unpack_from("<H", body)
        (name, encoding, text), _ = _strings(body, 2, 3)
        self._schemas[key] = (ros2_kind(name), encoding, text)

    def _take_channel(self, body: bytes) -> None:
        key, schema = struct.unpack_from("<HH", body)
        (topic, serialization), position = _strings(body, 4, 2)
        end = position + 4 + struct.unpack_from("<I", body, position)[0]
        position += 4
        metadata: dict[str, str] = {}
        while position < end:
            (name, value), position = _strings(body, position, 2)
            metadata[name] = value
        kind, encoding, text = self._schemas.get(schema, ("", "", ""))
        qos = metadata.get("offered_qos_profiles", "")
        described = Topic(topic, kind, text, encoding, qos=qos, serialization=serialization)
        if key not in self._channels:
            self._channels[key] = len(self.topics)
            self.topics.append(described)
            return
        # The summary describes it again.
        known = self.topics[self._channels[key]]
        if kind and not known.kind:
            known = replace(known, kind=kind, definition=text, definition_format=encoding)
            self.topics[self._channels[key]] = known
        if (topic, kind, serialization) != (known.name, known.kind, known.serialization):
            self._problem(
                f"describes channel {key} in two ways: {known.name} ({known.kind}, "
                f"{known.serialization}), which is taken, and {topic} ({kind}, {serialization})"
            )

    def _chunk(self, offset: int) -> bytes:
        """Return the records of the chunk at an offset, decompressed, as far as they are there."""
        if offset in self._chunks:
            self._chunks.move_to_end(offset)
            return self._chunks[offset]
        records = self._read_chunk(offset)
        self._chunks[offset] = records
        while len(self._chunks) > 1 and (
            len(self._chunks) > _CACHED_CHUNKS
            or sum(map(len, self._chunks.values())) > _CACHED_BYTES
        ):
            self._chunks.popitem(last=False)
        return records

    def _read_chunk(self, offset: int) -> bytes:
        self._file.seek(offset)
        _, length = _RECORD.unpack(self._file.read(_RECORD.size))
        rest = self._size - offset - _RECORD.size
        is_cut, length = length > rest, min(length, rest)
        where = f"{self.name} at byte {offset}: a chunk of {length} bytes was left out"
        try:
            _, _, size, checksum, letters = _CHUNK_HEAD.unpack(self._file.read(_CHUNK_HEAD.size))
            compression = self._file.read(min(letters, length)).decode()
            struct.unpack("<Q", self._file.read(8))
        except (struct.error, UnicodeDecodeError):
            raise UnreadableMessage(f"{where}: its head cannot be read") from None
        if size > MOST_BYTES:
            raise UnreadableMessage(
                f"{where}: it claims {size} bytes, more than {MOST_BYTES} decompressed"
            )
        try:
            # The size that it states of them may be damaged; they fill the record.
            stored = offset + _RECORD.size + length - self._file.tell()
            records = self._decompressed(stored, size, compression, is_cut=is_cut)
        except (ValueError, RuntimeError, ZstdError, EOFError) as error:
            raise UnreadableMessage(f"{where}: {error}") from error
        if not is_cut and (len(records) != size or (checksum and crc32(records) != checksum)):
            raise UnreadableMessage(f"{where}: its checksum or size is wrong")
        return records

    def _decompressed(self, stored: int, size: int, compression: str, *, is_cut: bool) -> bytes:
        """Return what stored bytes from the file's position on hold, `size` bytes at most.

        is_cut: fewer are there; what they give is returned. Raise ValueError for a compression
        that MCAP does not have, and what the decompressor raises.
        """
        if compression == "":
            # One byte too many shows that the size is wrong.
            return self._file.read(min(stored, size + 1))
        if compression == "zstd":
            decompressor = ZstdDecompressor()
        elif compression == "lz4":
            decompressor = lz4.frame.LZ4FrameDecompressor()
        else:
            raise ValueError(f"its compression {compression!r} is none of MCAP's")
        records = inflated(decompressor, self._pieces(stored), size)
        if not decompressor.eof and not is_cut:
            raise EOFError("it ends before its data does")
        return records

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size > 0 and (piece := self._file.read(min(size, PIECE_BYTES))):
            yield piece
            size -= len(piece)

    def _problem(self, words: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"{self.name} {words}")
        elif len(self.problems) == _MOST_PROBLEMS:
            self.problems.append(f"{self.name} is broken in more places than can be listed")


def _strings(body: bytes, position: int, count: int) -> tuple[list[str], int]:
    """Return strings, each behind its length, and where they end; raise struct.error."""
    found = []
    for _ in range(count):
        (length,) = struct.unpack_from("<I", body, position)
        position += 4
        if position + length > len(body):
            raise struct.error("a string is longer than its record")
        found.append(body[position : position + length].decode())
        position += length
    return found, position
