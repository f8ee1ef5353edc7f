"""Turn a public checkpoint's file into the package's own safetensors, and check what is there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from panoptic_ros import checkpoints
from panoptic_ros.checkpoints import places
from panoptic_ros.checkpoints.download import download
from panoptic_ros.checkpoints.manifest import Entry
from panoptic_ros.checkpoints.weights_file import digest_of

_log = logging.getLogger(__name__)


def fetch(entry: Entry, url: str = "") -> Path:
    """Download, check and convert an entry; return the new checkpoint's path without suffix.

    url: a mirror; the hash stays the manifest's. Raise DownloadError, or ValueError for a
    file that is another one or cannot be converted.
    """
    command = f"python -m panoptic_ros weights fetch {entry.name}"
    with downloaded(entry, url) as folder:
        return import_file(folder / entry.file, entry.name, entry, command)


@contextmanager
def downloaded(entry: Entry, url: str = "") -> Iterator[Path]:
    """Give a folder that holds an entry's files, which are removed once they have served.

    url: a mirror. After an error they stay, for the next attempt. Raise as `download` does.
    """
    folder = places.target() / "downloads"
    files = [folder / published.name for published in entry.files()]
    for file, published in zip(files, entry.files(url), strict=True):
        if not file.is_file():
            download(published.url, file, published.digest, published.algorithm)
    yield folder
    for file in files:
        file.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def import_file(file: Path, name: str, entry: Entry | None, command: str) -> Path:
    """Convert a file into the checkpoint NAME; return its path without suffix.

    entry: the manifest's of that name; None recognises the file by what it holds. A file that
    the user brings may be another than the published one, which is warned of and noted:
    nothing in it is executed, and every tensor is accounted for.
    Raise FileNotFoundError; ValueError for content that is none of the known kinds, and where
    there are weights of that name that do not come from this file.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    digest, path = digest_of(file), places.target() / name
    _refuse_to_replace(path, digest)
    # None: there is no published hash to compare with.
    is_published = digest.startswith(entry.sha256) if entry and entry.sha256 else None
    if entry and is_published is False:
        _log.warning(
            "%s is not the published %s: its SHA-256 begins with %s, not with %s",
            *(file, entry.file, digest[: len(entry.sha256)], entry.sha256),
        )
    converted = checkpoints.convert(file, entry.kind if entry else None)
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
            "is_published_file": is_published,
            **({"url": entry.url, "licence": licence(entry)} if entry else {}),
        },
        **converted.notes,
    )
    return path


def _refuse_to_replace(path: Path, digest: str) -> None:
    """Raise ValueError where weights are there that come from another file, a training say."""
    try:
        source = checkpoints.read_side_file(path).get("source")
    except (OSError, ValueError):
        return  # damaged ones make room
    if not isinstance(source, dict) or source.get("sha256") != digest:
        raise ValueError(
            f"{path}.safetensors is there already, and from elsewhere; choose another name, or "
            f"remove it and {path.name}.json"
        )


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
