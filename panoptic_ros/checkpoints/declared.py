"""Arrays and tensors as a file declares them: nothing is allocated before `tensor()`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.checkpoints.restricted_pickle import RefusedError, StandIn

ARRAY_TYPES = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8", "b1"}
TENSOR_TYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


@dataclass
class DeclaredDtype:
    """Hold a NumPy data type and its byte order; any one but of ARRAY_TYPES is of no array."""

    code: str
    order: str = "<"

    def set_state(self, state: tuple) -> None:
        """Take (version, byte order, subarray, names, fields, ...); only the order matters."""
        _, order, subarray, names, *_ = state
        if order not in ("<", ">", "|", "=") or subarray is not None or names is not None:
            raise RefusedError("holds an array of structures")
        self.order = order

    def numpy(self) -> np.dtype:
        """Return the type itself; raise RefusedError for one that is not of ARRAY_TYPES."""
        if self.code not in ARRAY_TYPES:
            raise RefusedError(f"holds an array of {str(self.code)[:20]!r}, which is no number")
        return np.dtype(self.order + self.code)


@dataclass
class DeclaredArray:
    """Hold a NumPy array: shape, type, memory order (C or F) and bytes.

    Text stands for the bytes of its code points, as protocol 2 writes them.
    """

    shape: tuple[int, ...] = ()
    dtype: DeclaredDtype = field(default_factory=lambda: DeclaredDtype("u1"))
    content: bytes | str = b""
    order: str = "C"

    def set_state(self, state: tuple) -> None:
        """Take (version, shape, dtype, is Fortran order, bytes)."""
        _, self.shape, self.dtype, is_fortran, self.content = state
        self.order = "F" if is_fortran else "C"
        self.check()

    def check(self) -> None:
        """Raise RefusedError where the bytes are not as many as the shape needs."""
        if not isinstance(self.dtype, DeclaredDtype) or not isinstance(self.content, bytes | str):
            raise RefusedError("holds an array of objects")
        if count(self.shape) * self.dtype.numpy().itemsize != len(self.content):
            raise RefusedError(f"declares an array that its {len(self.content)} bytes do not fill")

    def tensor(self) -> Tensor:
        """Return the values as a tensor of its own."""
        try:
            content = self.content if isinstance(self.content, bytes) else self.content.encode("l1")
        except UnicodeEncodeError as error:
            raise RefusedError(f"has text for the bytes of an array: {error}") from error
        values = np.frombuffer(content, self.dtype.numpy())
        values = values.reshape(self.shape, order="F" if self.order == "F" else "C")
        native = values.astype(values.dtype.newbyteorder("="), order="C")
        return torch.from_numpy(native)


@dataclass
class Storage:
    """Hold numbers of one type in a file, and how to read their bytes."""

    dtype: torch.dtype
    numel: int
    read: Callable[[], bytes]
    _kept: Tensor | None = None

    def values(self, *, keep: bool) -> Tensor:
        """Return all numbers, [numel]; keep: for others that share them, read but once."""
        if self._kept is not None:
            return self._kept
        values = torch.frombuffer(bytearray(self.read()), dtype=self.dtype)
        if keep:
            self._kept = values
        return values


@dataclass(frozen=True)
class DeclaredTensor:
    """Hold a torch tensor: a view (offset, shape and strides in elements) of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        needed = count(self.shape)
        if not isinstance(self.storage, Storage) or len(self.stride) != len(self.shape):
            raise RefusedError("holds a tensor without a storage")
        for number in (self.offset, *self.stride):
            count((number,))
        last = self.offset + sum(
            (side - 1) * stride for side, stride in zip(self.shape, self.stride, strict=True)
        )
        # More elements than the storage has: a view that repeats some, and grows when copied.
        if needed and (needed > self.storage.numel or last >= self.storage.numel):
            raise RefusedError(
                f"declares a tensor of {needed} values in a storage of {self.storage.numel}"
            )

    def tensor(self) -> Tensor:
        """Return the values as a tensor of its own."""
        if not count(self.shape):
            return torch.empty(self.shape, dtype=self.storage.dtype)
        flat = self.storage.values(keep=count(self.shape) < self.storage.numel)
        return flat.as_strided(self.shape, self.stride, self.offset).clone().contiguous()


def count(shape: Any) -> int:
    """Return the number of elements of a shape; raise RefusedError where it is none."""
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise RefusedError("declares a shape that is none")
    # A file of this size does not exist; and Python's integers have no end.
    if any(n >= 1 << 48 for n in shape) or len(shape) > 32 or math.prod(shape) >= 1 << 48:
        raise RefusedError("declares a size that no file has")
    return math.prod(shape)


def _encode(text: str, encoding: str) -> str:
    # How protocol 2 writes bytes. Encoded at once, one text named a million times would be a
    # million texts.
    if encoding != "latin1":
        raise RefusedError(f"encodes text as {str(encoding)[:20]!r}")
    return text


def _from_buffer(content: bytes, dtype: DeclaredDtype, shape: tuple, order: str) -> DeclaredArray:
    array = DeclaredArray(shape, dtype, content, order)
    array.check()
    return array


def _tensor(storage: Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> DeclaredTensor:
    return DeclaredTensor(storage, offset, size, stride)


# Classes of what training runs keep beside the tensors: options, times, the state of schedulers
# and of random numbers.
INERT = (
    *("argparse.Namespace", "types.SimpleNamespace", "torch.device", "decimal.Decimal"),
    *(f"datetime.{kind}" for kind in ("date", "time", "datetime", "timedelta", "timezone")),
    *("uuid.UUID", "fractions.Fraction", "torch.serialization._get_layout"),
    *(
        f"numpy.random._pickle.__{kind}_ctor"
        for kind in ("generator", "bit_generator", "randomstate")
    ),
    *(
        f"numpy.random._{module}.{name}"
        for module, name in (
            *(("mt19937", "MT19937"), ("pcg64", "PCG64"), ("pcg64", "PCG64DXSM")),
            *(("philox", "Philox"), ("sfc64", "SFC64")),
        )
    ),
    *("pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath"),
    *("pathlib._local.PosixPath", "pathlib._local.WindowsPath"),
    *(f"torch.{kind}{size}" for kind in ("float", "int") for size in (16, 32, 64)),
    *("torch.bfloat16", "torch.uint8", "torch.int8", "torch.bool"),
    # Python 2's names are those of protocols 0 to 2.
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in (
            *("set", "frozenset", "slice", "complex", "object"),
            *("dict", "list", "tuple", "int", "float", "str", "bool", "long", "unicode"),
            *("range", "xrange", "Ellipsis"),
        )
    ),
)
# What stands for the callables that files of torch and NumPy name. NumPy 2 moved its module.
# None of them makes more than it is given: a file may call one as often as it has bytes.
KNOWN: dict[str, Any] = {
    "collections.OrderedDict": lambda *_: {},
    "collections.Counter": lambda *_: {},
    "collections.defaultdict": lambda *_: {},
    "collections.deque": lambda *_: [],
    **dict.fromkeys(INERT, StandIn),
    **{f"{name}._reconstructor": StandIn for name in ("copyreg", "copy_reg")},
    "_codecs.encode": _encode,
    # Protocol 2's empty bytes.
    "__builtin__.bytes": lambda: b"",
    "numpy.ndarray": "numpy.ndarray",
    "numpy.dtype": lambda code, *_: DeclaredDtype(code),
    **{
        f"numpy.{core}.{name}": stand_in
        for core in ("core", "_core")
        for name, stand_in in (
            ("multiarray._reconstruct", lambda *_: DeclaredArray()),
            # A number beside the tensors, such as a score.
            ("multiarray.scalar", lambda *_: None),
            ("numeric._frombuffer", _from_buffer),
        )
    },
    "torch.Size": lambda sides: sides,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
    **{f"torch.{name}": dtype for name, dtype in TENSOR_TYPES.items()},
}
