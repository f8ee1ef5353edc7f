"""Fingerprints of what a step was made from, so that a step runs only when that changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def fingerprint(*, facts: Iterable[str] = (), contents: Iterable[Path] = ()) -> str:
    """Return the SHA-256 of the ``facts`` and of the files in ``contents``, names included."""
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(fact.encode() + b"\0")
    for path in sorted(contents):
        digest.update(str(path).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def files_below(*folders: Path) -> list[str]:
    """List every file below the folders but Python's caches, sorted.

    A symlink install links file by file: it must run again when a file comes or goes, and need
    not when one changes.
    """
    return sorted(
        str(path)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


def is_done(stamp: Path, expected: str) -> bool:
    """Tell whether ``stamp`` says that the step ran to its end on what ``expected`` stands for."""
    return stamp.is_file() and stamp.read_text() == expected
