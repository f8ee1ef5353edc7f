"""Write files atomically, or alone, and know strangers among them; errors name the file."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

LOCK = ".lock"
_WORDS = "cannot be written: "
# How files begin that are saved under another's name, and what to do about them.
_STRANGERS = {
    b"version https://git-lfs": "is a pointer of Git LFS; fetch the file itself: git lfs pull",
    b"<!": "is a web page; download the file again, and look into it",
    b"<html": "is a web page; download the file again, and look into it",
    b"<?xml": "is XML, perhaps a server's error; download the file again, and look into it",
    b"\x1f\x8b": "is packed by gzip; unpack it first",
    b"BZh": "is packed by bzip2; unpack it first",
    b"\xfd7zXZ": "is packed by xz; unpack it first",
    b"7z\xbc\xaf": "is packed by 7-Zip; unpack it first",
    b"Rar!": "is packed by RAR; unpack it first",
}
# No room, a used-up quota, a limit to the size of files, a disk that fails.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# Of file systems without locks, some over a network.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def stranger(begin: bytes) -> str:
    """Return what a file is that begins so, and what to do, where it came in place of another.

    Empty where it is none of what is often saved under another file's name.
    """
    begin = begin.lstrip()
    return next((words for first, words in _STRANGERS.items() if begin.startswith(first)), "")


def is_full(error: BaseException | None) -> bool:
    """Return whether an error, or one that it comes from, is of a disk that takes no more."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Name a file in an OSError of what writes it: a failed write knows no name."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if reason.startswith(_WORDS):
            raise
        raise OSError(error.errno, _WORDS + reason, str(file)) from error


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
            with naming(file):
                raise failed from None
        raise


def append(file: Path, content: str) -> None:
    """Write text as UTF-8 to the end of a file, which a kill may leave with a part of it.

    Raise OSError that names the file, which is then what it was.
    """
    with naming(file):
        size = file.stat().st_size if file.exists() else 0
        try:
            with file.open("ab") as opened:
                opened.write(_encoded(content))
        except OSError:
            with suppress(OSError):
                os.truncate(file, size)
            raise


def write_file(file: Path, content: bytes | str) -> None:
    """Write bytes, or text as UTF-8; raise as `replacing` does."""
    with replacing(file) as opened:
        opened.write(_encoded(content) if isinstance(content, str) else content)


def write_json(file: Path, content: Any, indent: int | None = 1) -> None:
    """Write what JSON can hold; raise as `replacing` does."""
    write_file(file, json.dumps(content, indent=indent) + "\n")


@contextmanager
def alone(folder: Path, option: str) -> Iterator[None]:
    """Let no other command write into a folder, which is made where it is missing.

    option: by which another one can be chosen. A folder that is made and stays empty is removed
    in the end. Raise ValueError that names the folder where another process writes,
    NotADirectoryError where it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; choose another {option}")
    with locked(folder / LOCK, _in_use(folder, option)):
        yield


def alone_with(file: Path, option: str) -> AbstractContextManager[None]:
    """Let no other command write a file; as `alone`."""
    return locked(file.with_name(f"{file.name}{LOCK}"), _in_use(file, option))


@contextmanager
def locked(file: Path, words: str) -> Iterator[None]:
    """Hold a file that is nothing but a lock, and is gone in the end, as are folders made for it.

    Raise ValueError of these words where another process holds it. Where the file system knows no
    locks, nobody is kept out.
    """
    made = [folder for folder in file.parents if not folder.exists()]
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _lock(file, words):
            try:
                yield
            finally:
                file.unlink(missing_ok=True)
    finally:
        with suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def _lock(file: Path, words: str) -> BinaryIO:
    while True:
        opened = file.open("ab")
        try:
            # Unlike flock's, this lock does not outlive a killed process in its children.
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return opened
            opened.close()
            if isinstance(error, BlockingIOError | PermissionError):
                raise ValueError(words) from error
            raise
        # Who held it before may have removed it after it was opened here.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(opened.fileno()), file.stat()):
                return opened
        opened.close()


def hold(opened: int, file: Path) -> None:
    """Let nobody else hold an open file, by its descriptor, until it is closed.

    Raise ValueError that names the file where another process does.
    """
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(_in_use(file, "--out")) from error


def _in_use(path: Path, option: str) -> str:
    return f"{path} is in use by another run; wait for its end, or choose another {option}"


def _encoded(content: str) -> bytes:
    # Names of files may be no Unicode.
    return content.encode(errors="backslashreplace")


def _sync(folder: Path) -> None:
    # A rename is durable only once the folder is.
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
