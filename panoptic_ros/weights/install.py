"""Turn a public checkpoint's file into the package's own safetensors, and check what is there."""

from __future__ import annotations

import json
from pathlib import Path

from panoptic_ros import checkpoints
from panoptic_ros.weights import places
from panoptic_ros.weights.download import digest_of, download
from panoptic_ros.weights.manifest import Entry


def fetch(entry: Entry, url: str = "") -> Path:
    """Download, check and convert an entry; return the new checkpoint's path without suffix.

    url: a mirror; the hash stays the manifest's. Raise DownloadError, or ValueError for a
    file that is another one or cannot be converted.
    """
    file = places.target() / "downloads" / entry.file
    if not file.is_file():
        download(url or entry.url, file, entry.sha256)
    path = import_file(
        file, entry.name, entry, f"python -m panoptic_ros weights fetch {entry.name}"
    )
    file.unlink()
    if not any(file.parent.iterdir()):
        file.parent.rmdir()
    return path


def import_file(file: Path, name: str, entry: Entry | None, command: str) -> Path:
    """Convert a file into the checkpoint NAME; return its path without suffix.

    entry: the manifest's of that name, whose hash the file must have; None recognises the
    file by what it holds. Raise FileNotFoundError; ValueError for a wrong hash (a file that
    was not downloaded here is kept) or content that is none of the known kinds.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    digest = digest_of(file)
    if entry and not digest.startswith(entry.sha256):
        raise ValueError(
            f"{file} is not the {entry.file} that was published: its SHA-256 begins with "
            f"{digest[: len(entry.sha256)]}, not with {entry.sha256}; it was not opened"
        )
    converted = checkpoints.convert(file, entry.kind if entry else None)
    path = places.target() / name
    checkpoints.save(
        converted.module,
        path,
        architecture=converted.architecture,
        label_set=converted.label_set,
        command=command,
        data=entry.data if entry else None,
        seed=None,
        scores=entry.score if entry else {},
        source={
            "file": file.name,
            "sha256": digest,
            **({"url": entry.url, "licence": licence(entry)} if entry else {}),
        },
        **converted.notes,
    )
    return path


def licence(entry: Entry) -> str:
    """Return both licences of a checkpoint in one line."""
    return f"code {entry.code_licence}; training data: {entry.data_licence}"


def check(path: Path) -> str:
    """Return what is wrong with an installed checkpoint, empty where it is whole.

    Hash, tensors and architecture are compared, as loading does.
    """
    try:
        checkpoints.load(path)
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def describe(path: Path) -> str:
    """Return an installed checkpoint's side file as text."""
    return json.dumps(checkpoints.read_side_file(path), indent=2)
