"""The list of public checkpoints, weights/manifest.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from panoptic_ros import resources
from panoptic_ros.documents import make, mapping, read_yaml

# The kind whose networks are graphs, which stay what they are; all others are converted.
GRAPH = "openvino"


@dataclass(frozen=True)
class PublishedFile:
    """Say where a file is published, and the hash, or its beginning, that it has."""

    name: str
    url: str
    digest: str
    algorithm: str


@dataclass(frozen=True)
class Entry:
    """Describe a public checkpoint; weights/manifest.yaml explains the fields.

    sha384: of a graph, of its .xml and .bin; description: of a graph, see docs/weights.md.
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
    sha384: dict[str, str] = field(default_factory=dict)
    description: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{0,64}", self.sha256):
            raise ValueError(f"sha256 is {self.sha256!r}, no hash in lower case")
        if Path(self.file).name != self.file:
            raise ValueError(f"file is {self.file!r}, it must be a plain name")
        if self.is_graph and not (
            set(self.sha384) == {"xml", "bin"}
            and all(re.fullmatch(r"[0-9a-f]{96}", digest) for digest in self.sha384.values())
            and self.description
        ):
            raise ValueError(f"{GRAPH} needs a description, and sha384 of xml and bin")

    @property
    def is_graph(self) -> bool:
        """Whether the network stays the graph that it is, and is not converted."""
        return self.kind == GRAPH

    def files(self, url: str = "") -> list[PublishedFile]:
        """Return the files to download: one, or a graph's .xml and .bin; url: of a mirror."""
        url = url or self.url
        if not self.is_graph:
            return [PublishedFile(self.file, url, self.sha256, "sha256")]
        return [
            PublishedFile(
                f"{self.file.removesuffix('.xml')}.{suffix}",
                f"{url.removesuffix('.xml')}.{suffix}",
                self.sha384[suffix],
                "sha384",
            )
            for suffix in ("xml", "bin")
        ]

    def by_hand(self) -> str:
        """Say how to bring the file where there is no network."""
        urls = "\n  ".join(file.url for file in self.files())
        return (
            f"where there is a network, download\n  {urls}\n(about {self.megabytes:g} MB), "
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
