"""The list of public checkpoints, weights/manifest.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from panoptic_ros import resources
from panoptic_ros.documents import make, mapping, read_yaml


@dataclass(frozen=True)
class Entry:
    """Describe a public checkpoint; weights/manifest.yaml explains the fields.

    Raise ValueError for a hash that is none, or a file name with a folder in it.
    """

    name: str
    what: str
    kind: str
    file: str
    url: str
    megabytes: float
    code_licence: str
    data: str
    data_licence: str
    source: str
    score_on: str
    score: dict[str, float] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{0,64}", self.sha256):
            raise ValueError(f"sha256 is {self.sha256!r}, no hash in lower case")
        if Path(self.file).name != self.file:
            raise ValueError(f"file is {self.file!r}, it must be a plain name")

    def by_hand(self) -> str:
        """Say how to bring the file where there is no network."""
        return (
            f"where there is a network, download\n  {self.url}\n(about {self.megabytes:g} MB), "
            f"copy it to any folder of this machine and run there\n"
            f"  python -m panoptic_ros weights import {self.file} --as {self.name}"
        )


def load_manifest(file: Path | None = None) -> dict[str, Entry]:
    """Return the entries of a manifest by name; None reads the package's own.

    Raise ValueError that names file and entry where a field is missing, unknown or impossible.
    """
    file = file or resources.share_dir() / "weights" / "manifest.yaml"
    entries = mapping(read_yaml(file), str(file))
    return {
        name: make(Entry, {"name": name, **mapping(entry, f"{file}: {name}")}, f"{file}: {name}")
        for name, entry in entries.items()
    }


def entry(name: str, manifest: dict[str, Entry]) -> Entry:
    """Return an entry; raise ValueError that lists the names there are."""
    if name not in manifest:
        raise ValueError(f"there are no weights {name!r}; known: {', '.join(sorted(manifest))}")
    return manifest[name]


def advice(name: str) -> str:
    """Say how to get weights that are not here; empty for a name that the manifest lacks."""
    if name not in load_manifest():
        return ""
    return f"run `python -m panoptic_ros weights fetch {name}`"
