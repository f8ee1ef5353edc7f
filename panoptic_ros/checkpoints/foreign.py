"""Containers of other projects' checkpoints: torch's (zip and legacy), pickles, safetensors."""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from safetensors import SafetensorError, safe_open
from torch import Tensor

from panoptic_ros.checkpoints.declared import KNOWN, DeclaredArray, DeclaredTensor, Storage, count
from panoptic_ros.checkpoints.restricted_pickle import ALONE, RefusedError, read_pickle
from panoptic_ros.whole_files import stranger

# What torch wrote before version 1.6 begins with: the pickle of this number (torch.serialization).
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# Where the tensors may be: in the file's mapping itself, or under one of these keys, at any
# depth; the averages of a training, which its authors report scores of, come first.
AVERAGES = ("model_ema", "ema", "ema_model", "ema_state_dict", "state_dict_ema", "params_ema")
NESTS = (
    *("model_state", "model", "state_dict", "model_state_dict", "module", "network", "net"),
    *("params", "weights", "shadow"),
)
MOST_NESTS = 4
# What a LightningModule or a wrapper of one's own calls the network that it trains; together with
# what else it has, such as the weights of its loss.
HOLDERS = ("model.", "net.", "network.")
# What other projects' files begin with.
OTHERS = {
    b"{": "is text (JSON), no checkpoint; of one in several parts join these into one file",
    b"\x28\xb5\x2f\xfd": "is packed by zstd; unpack it first",
    b"\x89HDF": "is an HDF5 file (Keras), no checkpoint of torch",
    b"\x93NUMPY": "is an array of NumPy, no checkpoint",
}
# What zipfile raises for damaged archives, and for features that torch never uses.
ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, EOFError, struct.error, UnicodeDecodeError),
    *(IndexError, KeyError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError),
)


@dataclass(frozen=True)
class SafeTensor:
    """Hold a tensor of a safetensors file: its shape, and how to read it."""

    shape: tuple[int, ...]
    tensor: Callable[[], Tensor]


Declared = DeclaredArray | DeclaredTensor | SafeTensor
T = TypeVar("T")


@dataclass(frozen=True)
class Checkpoint:
    """Hold a checkpoint's tensors by name, as declared; part: the keys that led to them."""

    tensors: dict[str, Declared]
    part: str = ""


@contextmanager
def open_tensors(file: Path) -> Iterator[Checkpoint]:
    """Give the tensors of a checkpoint, while the file is open.

    Of a training's averages and its last state the averages are taken where they are whole.
    Wrappers' parts of names (`module.`, `_orig_mod.`) are removed. Memory is bounded by the
    file's size. Raise FileNotFoundError; ValueError that names the file where it is damaged,
    holds something to execute, or declares more than it holds.
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
            if _is_safetensors(content) or file.suffix == ".safetensors":
                yield _unwrapped(_safetensors(file))
            else:
                yield _best_part(_content(opened, content))
        except RefusedError as error:
            raise ValueError(f"{file} {error}") from error


def _content(opened: BinaryIO, content: mmap.mmap) -> Any:
    if _zip(lambda: zipfile.is_zipfile(opened)):
        return _read_zip(opened, len(content))
    begin = content[:64]
    words = stranger(begin) or next((w for b, w in OTHERS.items() if begin.startswith(b)), "")
    if words:
        raise RefusedError(words)
    if content[:2] == b"PK":
        raise RefusedError("is cut short: it begins as a zip file, and its end is missing")
    first = read_pickle(content, KNOWN)
    return _read_legacy(content) if first == LEGACY_MAGIC else first


def _is_safetensors(content: mmap.mmap) -> bool:
    """Say whether a file begins as safetensors do: a length, and that much JSON."""
    length = int.from_bytes(content[:8], "little")
    return content[8:9] == b"{" and length < 1 << 32


def _safetensors(file: Path) -> dict[str, Declared]:
    try:
        with safe_open(file, "pt") as opened:
            names = list(opened.keys())
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in names}
    except SafetensorError as error:
        raise RefusedError(f"is damaged: {error}") from error

    def read(name: str) -> Tensor:
        try:
            with safe_open(file, "pt") as again:
                return again.get_tensor(name)
        # Types that safetensors knows and torch does not come as any of these.
        except (SafetensorError, AttributeError, KeyError, RuntimeError) as error:
            raise RefusedError(f"has {name[:120]!r}, which cannot be read: {error}") from error

    if not names:
        raise RefusedError("holds no tensors")
    return {name: SafeTensor(shape, partial(read, name)) for name, shape in shapes.items()}


def _best_part(content: Any) -> Checkpoint:
    """Return the tensors of a checkpoint, whatever else it holds."""
    found = list(_parts(content, ""))
    if not found:
        if not isinstance(content, Mapping):
            raise RefusedError(f"holds a {type(content).__name__}, not tensors by name")
        stray = next((name for name, v in content.items() if not isinstance(v, Declared)), None)
        what = "no tensors" if stray is None else f"no tensor under {str(stray)[:120]!r}"
        if others := [str(name)[:120] for name, v in content.items() if _holds_network(v)]:
            what += (
                f"; those of a network are under {', '.join(map(repr, others))}: save one of them "
                "alone, torch.save(torch.load(FILE)[KEY], OTHER)"
            )
        raise RefusedError(f"has {what}")
    averages = [part for part in found if any(key in AVERAGES for key in part.part.split("."))]
    states = [part for part in found if part not in averages]
    # Some averages are of the parameters alone, without the norms' statistics.
    whole = [p for p in averages if not states or set(states[0].tensors) <= set(p.tensors)]
    return [*whole, *states, *averages][0]


def _parts(content: Any, part: str) -> Iterator[Checkpoint]:
    """Give every mapping of nothing but tensors, the likeliest first."""
    if not isinstance(content, Mapping) or part.count(".") >= MOST_NESTS:
        return
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Declared)}
    if len(tensors) + ("n_averaged" in content and "n_averaged" not in tensors) == len(content):
        if tensors:
            yield _unwrapped(tensors, part)
        return
    for key in (*AVERAGES, *NESTS):
        yield from _parts(content.get(key), f"{part}.{key}" if part else key)


def _holds_network(value: Any) -> bool:
    """Say whether a value is a mapping of tensors by names such as a network gives."""
    if not isinstance(value, Mapping):
        return False
    tensors = [name for name, v in value.items() if isinstance(v, Declared)]
    return any("." in str(name) for name in tensors) or any(map(_holds_network, value.values()))


def _unwrapped(tensors: Mapping[str, Declared], part: str = "") -> Checkpoint:
    """Return tensors under the names that they have without wrappers.

    DataParallel and its kin put `module.` before all, torch.compile `_orig_mod.` before what it
    compiled, AveragedModel both `module.` and the count `n_averaged`; Lightning has the network
    as a part of its own, perhaps beside a loss, which is left out and said in `part`.
    """
    names = {name: name.replace("_orig_mod.", "") for name in tensors if name != "n_averaged"}
    count = len(names)
    while prefix := _wrapper(names.values()):
        names = {
            old: name.removeprefix(prefix) for old, name in names.items() if name.startswith(prefix)
        }
        if len(names) < count:
            part = f"{part} {prefix}* ({count - len(names)} other tensors left out)".strip()
            count = len(names)
    if len(set(names.values())) < len(names):
        raise RefusedError("has tensors whose names differ by nothing but a wrapper's prefix")
    return Checkpoint({name: tensors[old] for old, name in names.items()}, part)


def _wrapper(names: Collection[str]) -> str:
    """Return the prefix that is a wrapper's: of all names, or of a network beside a loss; or ""."""
    for prefix in ("module.", *HOLDERS):
        inside = sum(name.startswith(prefix) for name in names)
        if inside and (inside == len(names) or (prefix in HOLDERS and inside > len(names) / 2)):
            return prefix
    return ""


def _read_zip(opened: BinaryIO, length: int) -> Any:
    """Read what torch.save has written since version 1.6."""
    archive = _zip(lambda: zipfile.ZipFile(opened))
    entries = archive.infolist()
    if any("/code/" in entry.filename or "/models/" in entry.filename for entry in entries):
        raise RefusedError(f"is a program (TorchScript, torch.export); {ALONE}")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise RefusedError("is compressed, which torch's files never are; it was not unpacked")
    if sum(entry.file_size for entry in entries) > length:
        raise RefusedError("declares entries larger than itself; it was not unpacked")
    sizes = {entry.filename: entry.file_size for entry in entries}
    roots = [name.removesuffix("data.pkl") for name in sizes if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise RefusedError("is a zip file, but none of torch's; if one is in it, unpack it first")

    def read(name: str) -> bytes:
        return _zip(lambda: archive.read(roots[0] + name))

    if f"{roots[0]}byteorder" in sizes and read("byteorder") != b"little":
        raise RefusedError("was written by a big-endian machine")

    storages: dict[Any, Storage] = {}

    def storage(pid: Any) -> Storage:
        dtype, key, numel = _storage_id(pid)
        name = f"{roots[0]}data/{key}"
        if sizes.get(name, -1) < numel * dtype.itemsize:
            raise RefusedError(f"declares {numel} values in {name[:120]!r}, which has fewer")
        new = Storage(dtype, numel, lambda: read(f"data/{key}"))
        return storages.setdefault((key, dtype, numel), new)

    return read_pickle(io.BytesIO(read("data.pkl")), KNOWN, storage)


def _zip(work: Callable[[], T]) -> T:
    try:
        return work()
    except ZIP_ERRORS as error:
        raise RefusedError(f"is damaged: {str(error) or type(error).__name__}") from error


def _read_legacy(content: mmap.mmap) -> Any:
    """Read what torch.save wrote before version 1.6, behind the pickle of its magic number.

    Pickles of a version, the machine's properties, the object and the keys of
    its storages; then each storage as its number of elements (int64) and its bytes.
    """
    storages: dict[str, Storage] = {}

    def storage(pid: Any) -> Storage:
        dtype, key, numel = _storage_id(pid)
        return storages.setdefault(key, Storage(dtype, numel, bytes))

    read_pickle(content, KNOWN)
    machine = read_pickle(content, KNOWN)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise RefusedError("was written by a big-endian machine")
    held = read_pickle(content, KNOWN, storage)
    keys = read_pickle(content, KNOWN)
    if not isinstance(keys, list):
        raise RefusedError("is damaged: it lists no storages")
    for key in keys:
        if not isinstance(key, str) or key not in storages:
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
