"""Read pickles without executing them: plain containers, and arrays as they are declared.

A pickle is a program. Of its instructions (pickletools documents them) only those that build
containers are known here, and of the callables that it may name only those in a table, whose
values are this package's own: no import, no attribute and no constructor of another module is
ever reached. `torch.load(weights_only=True)` is not enough for files from elsewhere: a tuple
nested a million times as a key ends the process (2.15), and what 20 MB of one-byte instructions
make takes all memory; test/checkpoints/test_foreign.py has both.
"""

from __future__ import annotations

import io
import mmap
import pickle
import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

# A checkpoint of a thousand tensors takes about 50,000 reads. One-byte instructions can make
# objects of a hundred times their size; this bounds them.
MOST_READS = 2_000_000
# How much of a name from the file an error repeats.
SHOWN = 120
ALONE = "save the tensors alone: torch.save(network.state_dict(), FILE)"

# What bytes are read from, neither of which gives more than there is.
Stream = io.BytesIO | mmap.mmap

SAFE_INSTRUCTIONS = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK, pickle.DUP),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.INT, pickle.BININT, pickle.BININT1),
    *(pickle.BININT2, pickle.LONG1, pickle.LONG4, pickle.FLOAT, pickle.BINFLOAT),
    *(pickle.UNICODE, pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8),
    *(pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING),
    *(pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_LIST, pickle.LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT),
    *(pickle.GET, pickle.BINGET, pickle.LONG_BINGET),
    *(pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE),
    *(pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BINPERSID),
)


class RefusedError(ValueError):
    """Say what in a file is not taken, or where it is damaged."""


class StandIn:
    """Take the place of an object that is no tensor, and keep nothing of it."""

    def __init__(self, *_: Any) -> None:
        pass

    def set_state(self, state: Any) -> None:
        """Forget the object's attributes."""


def read_pickle(
    stream: Stream, known: Mapping[str, Any], persistent_load: Callable[[Any], Any] | None = None
) -> Any:
    """Return what a pickle holds, and leave the stream behind it.

    known: what stands for each callable that a file may name, by `module.name`; what these
    make may have a method `set_state` for the BUILD instruction;
    persistent_load: makes objects of persistent ids (torch's storages).
    Raise RefusedError for any other callable or instruction, and for a damaged stream.
    """
    try:
        return _RestrictedUnpickler(_Counted(stream), known, persistent_load).load()
    except RefusedError:
        raise
    except (pickle.UnpicklingError, EOFError, struct.error, RecursionError, MemoryError) as error:
        raise RefusedError(f"is damaged: {str(error)[:SHOWN] or type(error).__name__}") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        # Instructions that do not fit each other, met in the middle of the machine.
        raise RefusedError(f"is damaged: {type(error).__name__} while it was read") from error


class _Counted:
    """Pass reads on, as many as a checkpoint needs, each of them whole."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = MOST_READS

    def read(self, n: int) -> bytes:
        self._count()
        content = self._stream.read(n)
        if len(content) < n:
            raise RefusedError("is cut short, or declares more than it holds")
        return content

    def readline(self) -> bytes:
        self._count()
        return self._stream.readline()

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise RefusedError("holds more objects than any checkpoint needs")


class _KnownInstructions(dict):
    def __missing__(self, code: int) -> None:
        raise RefusedError(f"has the pickle instruction {bytes([code])!r}, which is not taken")


class _RestrictedUnpickler(pickle._Unpickler):
    # In Python, since the C implementation has no table of instructions to replace. It also takes
    # memory only for what it has read.
    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list]
    stack: list
    dispatch: ClassVar[dict[int, Callable]] = _KnownInstructions(
        {code[0]: pickle._Unpickler.dispatch[code[0]] for code in SAFE_INSTRUCTIONS}
    )

    def __init__(
        self,
        stream: _Counted,
        known: Mapping[str, Any],
        persistent_load: Callable[[Any], Any] | None,
    ) -> None:
        # latin1: how Python 2 wrote the bytes of arrays.
        super().__init__(stream, encoding="latin1")
        self._known = known
        self._make_persistent = persistent_load

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in self._known:
            raise RefusedError(
                f"names {full[:SHOWN]!r}, which is no part of a checkpoint; nothing was executed; "
                f"{ALONE}"
            )
        return self._known[full]

    def persistent_load(self, pid: Any) -> Any:
        if self._make_persistent is None:
            raise RefusedError("refers to objects outside itself")
        return self._make_persistent(pid)

    def load_frame(self) -> None:
        # A hint for buffering, which a count of reads must not depend on.
        self.read(8)

    dispatch[pickle.FRAME[0]] = load_frame

    def load_bytearray8(self) -> None:
        # pickle's own allocates the declared length first.
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(length))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(fill({}, items))

    dispatch[pickle.DICT[0]] = load_dict

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        fill(self.stack[-1], [key, value])

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        items = self.pop_mark()
        fill(self.stack[-1], items)

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_build(self) -> None:
        # pickle's own sets attributes, on whatever there is.
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, dict):
            # torch writes the attributes of a state dict (_metadata); no tensor is there.
            return
        if not hasattr(target, "set_state"):
            raise RefusedError(f"sets attributes of a {type(target).__name__}")
        target.set_state(state)

    dispatch[pickle.BUILD[0]] = load_build

    def load_newobj(self) -> None:
        # pickle's own calls __new__, of whatever class there is.
        self.stack.pop()
        kind = self.stack.pop()
        if kind is not StandIn:
            raise RefusedError(f"makes an object of a {type(kind).__name__}")
        self.append(StandIn())

    dispatch[pickle.NEWOBJ[0]] = load_newobj

    def load_empty_set(self) -> None:
        self.append(StandIn())

    dispatch[pickle.EMPTY_SET[0]] = load_empty_set

    def load_additems(self) -> None:
        self.pop_mark()

    dispatch[pickle.ADDITEMS[0]] = load_additems

    def load_frozenset(self) -> None:
        self.pop_mark()
        self.append(StandIn())

    dispatch[pickle.FROZENSET[0]] = load_frozenset


def fill(target: Any, items: list[Any]) -> dict:
    """Put keys and values, which alternate, into a mapping; return it.

    Raise RefusedError for keys other than text, numbers and None: the hash of a deeply nested
    tuple would overflow the stack.
    """
    if not isinstance(target, dict):
        raise RefusedError("sets items of what is no mapping")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int | float | None):
            raise RefusedError(f"has a key of type {type(key).__name__}")
        target[key] = value
    return target
