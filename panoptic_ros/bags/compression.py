"""Bags that rosbag2 compressed, file by file or message by message (zstd)."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from panoptic_ros.bags.storage import UnreadableMessage

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZstdDecompressor, ZstdError = zstd.ZstdDecompressor, zstd.ZstdError
_PIECE_BYTES = 1 << 20


def decompress_message(data: bytes, path: Path) -> bytes:
    """Return a message's bytes; path: its file, for the error. Raise UnreadableMessage."""
    try:
        return zstd.decompress(data)
    except ZstdError as error:
        raise UnreadableMessage(f"{path}: a message cannot be decompressed: {error}") from error


def decompress_file(path: Path) -> tuple[TemporaryDirectory, Path, str]:
    """Decompress NAME.zstd as far as it goes.

    Return the folder that it lies in while that lives, its path, and what is broken or "".
    """
    folder = TemporaryDirectory(prefix="panoptic_bag_")
    unpacked = Path(folder.name) / path.stem
    decompressor = ZstdDecompressor()
    problem = ""
    with path.open("rb") as packed, unpacked.open("wb") as plain:
        try:
            while not decompressor.eof and (piece := packed.read(_PIECE_BYTES)):
                plain.write(decompressor.decompress(piece))
            if not decompressor.eof:
                problem = f"{path} is cut off after {path.stat().st_size} bytes"
        except ZstdError as error:
            problem = f"{path} is damaged before byte {packed.tell()}: {error}"
    return folder, unpacked, problem
