"""Write files atomically; errors name the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which takes the place of `file` when the block ends.

    Until then, and after an error or a kill, `file` is what it was. Missing folders are made;
    one writer at a time. Raise OSError that names the file, where the disk is full or the
    folder cannot be written; nothing is then left beside it.
    """
    partial = file.with_name(f"{file.name}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        partial.replace(file)
        _sync(file.parent)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        # torch.save hides a failed write behind an error of its own.
        failed = error.__context__ if isinstance(error, RuntimeError) else error
        if isinstance(failed, OSError):
            raise _named(failed, file) from error
        raise


def append(file: Path, content: str) -> None:
    """Write text as UTF-8 to the end of a file, in part where that fails or is killed.

    Raise OSError that names the file.
    """
    try:
        with file.open("ab") as opened:
            opened.write(content.encode())
    except OSError as error:
        raise _named(error, file) from error


def write_file(file: Path, content: bytes | str) -> None:
    """Write bytes, or text as UTF-8; raise as `replacing` does."""
    with replacing(file) as opened:
        opened.write(content.encode() if isinstance(content, str) else content)


def write_json(file: Path, content: Any, indent: int | None = 1) -> None:
    """Write what JSON can hold; raise as `replacing` does."""
    write_file(file, json.dumps(content, indent=indent) + "\n")


def _named(error: OSError, file: Path) -> OSError:
    # A write that fails knows no name.
    return OSError(error.errno, f"cannot be written: {error.strerror}", str(file))


def _sync(folder: Path) -> None:
    # A rename is durable only once the folder is.
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
