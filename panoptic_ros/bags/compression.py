"""Zstandard in bags: files and messages that rosbag2 compressed, within the sizes they declare."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from panoptic_ros.bags.storage import UnreadableMessage

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZstdDecompressor, ZstdError = zstd.ZstdDecompressor, zstd.ZstdError
# A frame's first bytes (RFC 8878, section 3.1.1); CDR begins with a zero.
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Of a message or a chunk. A raw image of 8192 x 8192 colours has 200 MB; a few kilobytes can
# hold any number of zeros.
MOST_BYTES = 1 << 29
PIECE_BYTES = 1 << 16
# What is left free on the disk that a file is unpacked to.
_RESERVE_BYTES = 1 << 28


def decompress_message(data: bytes, name: str) -> bytes:
    """Return a message's bytes; name: its file's, for the error. Raise UnreadableMessage."""
    try:
        declared = zstd.get_frame_info(data).decompressed_size
        limit = MOST_BYTES if declared is None else declared
        if limit > MOST_BYTES:
            raise ValueError(f"it claims {limit} bytes, more than {MOST_BYTES}")
        decompressor = ZstdDecompressor()
        content = inflated(decompressor, [data], limit)
        if not decompressor.eof:
            raise EOFError("it is cut off")
        return content
    except (ZstdError, ValueError, EOFError) as error:
        raise UnreadableMessage(f"{name}: a message cannot be decompressed: {error}") from error


def decompress_file(path: Path) -> tuple[TemporaryDirectory, Path, str]:
    """Decompress NAME.zstd as far as it goes.

    Return the folder that it lies in while that lives, its path, and what is broken or "".
    Raise ValueError where the disk has no room for it.
    """
    folder = TemporaryDirectory(prefix="panoptic_bag_")
    try:
        unpacked = Path(folder.name) / path.name.removesuffix(".zstd")
        free = shutil.disk_usage(folder.name).free - _RESERVE_BYTES
        with path.open("rb") as packed, unpacked.open("wb") as plain:
            problem = _unpack(packed, plain, free)
        return folder, unpacked, problem and f"{path} {problem}"
    except (OSError, ValueError) as error:
        place = folder.name
        folder.cleanup()
        raise ValueError(
            f"{path} cannot be decompressed into {place}: {error}; choose another place by "
            "TMPDIR, or decompress it before (zstd -d)"
        ) from error


def inflated(decompressor: Any, pieces: Iterable[bytes], limit: int) -> bytes:
    """Return what compressed pieces hold; raise ValueError where that is more than the limit."""
    content = bytearray()
    for piece in pieces:
        while not decompressor.eof:
            part = decompressor.decompress(piece, limit + 1 - len(content))
            content += part
            if len(content) > limit:
                raise ValueError(f"it holds more than the {limit} bytes that it claims")
            if decompressor.needs_input or not (part or piece):
                break
            piece = b""
        if decompressor.eof:
            break
    return bytes(content)


def _unpack(packed: BinaryIO, plain: BinaryIO, limit: int) -> str:
    """Decompress frame after frame; return what is broken or "". Raise ValueError, OSError."""
    decompressor, rest, written = ZstdDecompressor(), b"", 0
    try:
        while piece := rest or packed.read(PIECE_BYTES):
            rest = b""
            if decompressor.eof:
                decompressor = ZstdDecompressor()
            while True:
                written += plain.write(decompressor.decompress(piece, PIECE_BYTES * 16))
                if written > limit:
                    raise ValueError(f"it has more than the {limit} bytes that are free")
                if decompressor.eof or decompressor.needs_input:
                    break
                piece = b""
            rest = decompressor.unused_data if decompressor.eof else b""
        return "" if decompressor.eof else f"is cut off after {packed.tell()} bytes"
    except ZstdError as error:
        return f"is damaged before byte {packed.tell()}: {error}"
