"""Read MCAP files record by record, with or without their index, and up to where they break.

Source: MCAP format specification, version 0.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

import lz4.frame

from panoptic_ros.bags.compression import ZstdDecompressor, ZstdError
from panoptic_ros.bags.storage import Columns, Topic, UnreadableMessage

MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0F
_RECORD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_CHUNK_HEAD = struct.Struct("<QQQII")
_LARGEST_OPCODE = _DATA_END
# Opcodes from here on are anybody's own.
_FIRST_PRIVATE_OPCODE = 0x80
_OUTSIDE_CHUNKS = -1
_CACHED_CHUNKS = 4
_PIECE_BYTES = 1 << 16


class McapFile:
    """Read an MCAP file; see `Storage`.

    Chunks that fail their checksum or cannot be decompressed are left out and named. Of a
    chunk that the end of the file cuts, what is there is read.
    Raise ValueError for a file of another kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.topics: list[Topic] = []
        self.columns = Columns()
        self.problems: list[str] = []
        self._schemas: dict[int, tuple[str, str, str]] = {}
        self._channels: dict[int, int] = {}
        self._orphans = 0
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._file = path.open("rb")
        try:
            self._size = path.stat().st_size
            self._scan()
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
            raise UnreadableMessage(f"{self.path} at byte {max(chunk, start)}: {error}") from error
        if len(data) < size:
            raise UnreadableMessage(f"{self.path} at byte {max(chunk, start)}: shorter than before")
        return data

    def _scan(self) -> None:
        """Note all messages; stop where the records end or break."""
        magic = self._file.read(len(MAGIC))
        if not MAGIC.startswith(magic):
            raise ValueError(f"{self.path} is no MCAP file: it begins with {magic!r}")
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
                self._check_footer(length)
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
        if self._orphans:
            self._problem(f"has {self._orphans} messages of channels that it does not describe")

    def _check_footer(self, length: int) -> None:
        footer = self._file.read(length)
        if len(footer) < 8:
            self._problem(f"is cut off at byte {self._size}, in its footer")
        elif struct.unpack_from("<Q", footer)[0] == 0:
            self._problem("has no index (summary section); it was read from end to end")

    def _take(self, opcode: int, offset: int, length: int) -> None:
        """Read a record outside chunks; the file stands behind its head."""
        start = offset + _RECORD.size
        if opcode == _CHUNK:
            try:
                records = self._chunk(offset)
            except UnreadableMessage as error:
                self.problems.append(str(error))
                return
            self._take_chunk(records, offset)
        elif start + length <= self._size:
            if opcode == _MESSAGE:
                head = self._file.read(_MESSAGE_HEAD.size)
                self._take_message(head, length, _OUTSIDE_CHUNKS, start)
            elif opcode in (_SCHEMA, _CHANNEL):
                self._describe(opcode, self._file.read(length), offset)

    def _take_chunk(self, records: bytes, chunk: int) -> None:
        """Note the messages in a chunk's records, the last of which may be incomplete."""
        position = 0
        while position + _RECORD.size <= len(records):
            opcode, length = _RECORD.unpack_from(records, position)
            start = position + _RECORD.size
            position = start + length
            if position > len(records):
                break
            if opcode == _MESSAGE:
                head = records[start : start + _MESSAGE_HEAD.size]
                self._take_message(head, length, chunk, start)
            elif opcode in (_SCHEMA, _CHANNEL):
                self._describe(opcode, records[start:position], chunk)

    def _take_message(self, head: bytes, length: int, chunk: int, start: int) -> None:
        if len(head) < _MESSAGE_HEAD.size:
            self._problem(f"is damaged at byte {max(chunk, start)}: a message without its head")
            return
        channel, _, log_time, _ = _MESSAGE_HEAD.unpack(head)
        if channel not in self._channels:
            self._orphans += 1
            return
        size = length - _MESSAGE_HEAD.size
        self.columns.add(self._channels[channel], log_time, chunk, start + _MESSAGE_HEAD.size, size)

    def _describe(self, opcode: int, body: bytes, offset: int) -> None:
        """Take in a schema or a channel."""
        try:
            if opcode == _SCHEMA:
                self._take_schema(body)
            else:
                self._take_channel(body)
        except (struct.error, UnicodeDecodeError):
            name = "schema" if opcode == _SCHEMA else "channel"
            self._problem(f"is damaged at byte {offset}: a {name} that cannot be read")

    def _take_schema(self, body: bytes) -> None:
        (key,) = struct.unpack_from("<H", body)
        (name, encoding, text), _ = _strings(body, 2, 3)
        self._schemas[key] = (name, encoding, text)

    def _take_channel(self, body: bytes) -> None:
        key, schema = struct.unpack_from("<HH", body)
        if key in self._channels:
            return
        (topic, serialization), position = _strings(body, 4, 2)
        end = position + 4 + struct.unpack_from("<I", body, position)[0]
        position += 4
        metadata: dict[str, str] = {}
        while position < end:
            (name, value), position = _strings(body, position, 2)
            metadata[name] = value
        kind, encoding, text = self._schemas.get(schema, ("", "", ""))
        self._channels[key] = len(self.topics)
        self.topics.append(
            Topic(
                topic,
                kind,
                text,
                encoding,
                qos=metadata.get("offered_qos_profiles", ""),
                serialization=serialization,
            )
        )

    def _chunk(self, offset: int) -> bytes:
        """Return the records of the chunk at an offset, decompressed, as far as they are there."""
        if offset in self._chunks:
            self._chunks.move_to_end(offset)
            return self._chunks[offset]
        records = self._read_chunk(offset)
        self._chunks[offset] = records
        if len(self._chunks) > _CACHED_CHUNKS:
            self._chunks.popitem(last=False)
        return records

    def _read_chunk(self, offset: int) -> bytes:
        self._file.seek(offset)
        _, length = _RECORD.unpack(self._file.read(_RECORD.size))
        is_cut = offset + _RECORD.size + length > self._size
        try:
            _, _, size, checksum, letters = _CHUNK_HEAD.unpack(self._file.read(_CHUNK_HEAD.size))
            compression = self._file.read(min(letters, length)).decode()
            (stored,) = struct.unpack("<Q", self._file.read(8))
        except (struct.error, UnicodeDecodeError):
            raise UnreadableMessage(
                f"{self.path} at byte {offset}: a chunk whose head cannot be read"
            ) from None
        try:
            records = _decompress(self._file, min(stored, length), compression, is_cut)
        except (ValueError, RuntimeError, ZstdError, EOFError) as error:
            raise UnreadableMessage(
                f"{self.path} at byte {offset}: a chunk of {length} bytes was left out: {error}"
            ) from error
        if not is_cut and (len(records) != size or (checksum and crc32(records) != checksum)):
            raise UnreadableMessage(
                f"{self.path} at byte {offset}: a chunk of {length} bytes was left out: "
                "its checksum or size is wrong"
            )
        return records

    def _problem(self, words: str) -> None:
        self.problems.append(f"{self.path} {words}")


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


def _decompress(file: BinaryIO, size: int, compression: str, is_cut: bool) -> bytes:
    """Return what `size` bytes from the file's position on hold.

    is_cut: fewer are there; what they give is returned. Raise ValueError for a compression
    that MCAP does not have, and what the decompressor raises.
    """
    if compression == "":
        return file.read(size)
    if compression == "zstd":
        decompressor = ZstdDecompressor()
    elif compression == "lz4":
        decompressor = lz4.frame.LZ4FrameDecompressor()
    else:
        raise ValueError(f"its compression {compression!r} is none of MCAP's")
    parts = []
    while size > 0 and not decompressor.eof and (piece := file.read(min(size, _PIECE_BYTES))):
        parts.append(decompressor.decompress(piece))
        size -= len(piece)
    if not decompressor.eof and not is_cut:
        raise EOFError("it ends before its data does")
    return b"".join(parts)
