"""Containers of other projects' checkpoints: torch's (zip and legacy) and plain pickles."""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from panoptic_ros.checkpoints.declared import (
    KNOWN,
    DeclaredArray,
    DeclaredTensor,
    Storage,
    count,
)
from panoptic_ros.checkpoints.restricted_pickle import RefusedError, read_pickle

# What torch wrote before version 1.6 begins with: the pickle of this number (torch.serialization).
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
# Where the tensors may be: in the file's mapping itself, or under one of these keys.
NESTS = ("model_state", "model", "state_dict")
# What zipfile raises for damaged archives, and for features that torch never uses.
ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, EOFError, struct.error, UnicodeDecodeError),
    *(IndexError, KeyError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError),
)

Declared = DeclaredArray | DeclaredTensor
T = TypeVar("T")


@contextmanager
def open_tensors(file: Path) -> Iterator[dict[str, Declared]]:
    """Give the tensors of a checkpoint by name, as declared, while the file is open.

    Memory is bounded by the file's size. Raise FileNotFoundError; ValueError that names the
    file where it is damaged, holds something to execute, or declares more than it holds.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    if not file.stat().st_size:
        raise ValueError(f"{file} is empty")
    with (
        file.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        try:
            yield _named_tensors(_content(opened, content))
        except RefusedError as error:
            raise ValueError(f"{file} {error}") from error


def _content(opened: BinaryIO, content: mmap.mmap) -> Any:
    if _zip(lambda: zipfile.is_zipfile(opened)):
        return _read_zip(opened, len(content))
    if content[: len(LEGACY_START)] == LEGACY_START:
        return _read_legacy(content)
    if content[:2] == b"PK":
        raise RefusedError("is cut short: it begins as a zip file, and its end is missing")
    return read_pickle(content, KNOWN)


def _named_tensors(content: Any) -> dict[str, Declared]:
    """Return the tensors of a checkpoint's mapping, whatever else it holds."""
    if not isinstance(content, Mapping):
        raise RefusedError(f"holds a {type(content).__name__}, not tensors by name")
    nests = (content[key] for key in NESTS if isinstance(content.get(key), Mapping))
    named = next(nests, content)
    for name, value in named.items():
        if not isinstance(value, Declared):
            raise RefusedError(f"has no tensor under {str(name)[:120]!r}")
    if not named:
        raise RefusedError("holds no tensors")
    return {str(name): value for name, value in named.items()}


def _read_zip(opened: BinaryIO, length: int) -> Any:
    """Read what torch.save has written since version 1.6."""
    archive = _zip(lambda: zipfile.ZipFile(opened))
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise RefusedError("is compressed, which torch's files never are; it was not unpacked")
    if sum(entry.file_size for entry in entries) > length:
        raise RefusedError("declares entries larger than itself; it was not unpacked")
    sizes = {entry.filename: entry.file_size for entry in entries}
    roots = [name.removesuffix("data.pkl") for name in sizes if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise RefusedError("is a zip file, but none of torch's")

    def read(name: str) -> bytes:
        return _zip(lambda: archive.read(roots[0] + name))

    if f"{roots[0]}byteorder" in sizes and read("byteorder") != b"little":
        raise RefusedError("was written by a big-endian machine")

    def storage(pid: Any) -> Storage:
        dtype, key, numel = _storage_id(pid)
        name = f"{roots[0]}data/{key}"
        if sizes.get(name, -1) < numel * dtype.itemsize:
            raise RefusedError(f"declares {numel} values in {name[:120]!r}, which has fewer")
        return Storage(dtype, numel, lambda: read(f"data/{key}"))

    return read_pickle(io.BytesIO(read("data.pkl")), KNOWN, storage)


def _zip(work: Callable[[], T]) -> T:
    try:
        return work()
    except ZIP_ERRORS as error:
        raise RefusedError(f"is damaged: {str(error) or type(error).__name__}") from error


def _read_legacy(content: mmap.mmap) -> Any:
    """Read what torch.save wrote before version 1.6.

    Pickles of a magic number, a version, the machine's properties, the object and the keys of
    its storages; then each storage as its number of elements (int64) and its bytes.
    """
    storages: dict[str, Storage] = {}

    def storage(pid: Any) -> Storage:
        dtype, key, numel = _storage_id(pid)
        return storages.setdefault(key, Storage(dtype, numel, bytes))

    if read_pickle(content, KNOWN) != LEGACY_MAGIC:
        raise RefusedError("is damaged: it is no file of torch's")
    read_pickle(content, KNOWN)
    machine = read_pickle(content, KNOWN)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise RefusedError("was written by a big-endian machine")
    held = read_pickle(content, KNOWN, storage)
    for key in read_pickle(content, KNOWN):
        if key not in storages:
            raise RefusedError("has a storage that no tensor uses")
        _place(storages[key], content)
    return held


def _place(storage: Storage, content: mmap.mmap) -> None:
    """Bind a storage to its bytes, which come next."""
    numel = int.from_bytes(content.read(8), "little")
    start, size = content.tell(), numel * storage.dtype.itemsize
    if numel != storage.numel or start + size > len(content):
        raise RefusedError("is cut short, or declares more than it holds")
    storage.read = lambda: content[start : start + size]
    content.seek(start + size)


def _storage_id(pid: Any) -> tuple[Any, str, int]:
    """Return data type, key and number of elements of a storage's persistent id."""
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
        raise RefusedError("refers to something that is no storage")
    _, dtype, key, _, numel = pid[:5]
    if not hasattr(dtype, "itemsize") or not isinstance(key, str):
        raise RefusedError("has a storage of no known type")
    count((numel,))
    return dtype, key, numel
