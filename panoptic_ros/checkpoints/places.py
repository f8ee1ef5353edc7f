"""Where weights are stored: the package's own folder, and the user's."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from panoptic_ros import resources

VARIABLE = "PANOPTIC_WEIGHTS"


def folders() -> list[Path]:
    """Return the folders that are searched for weights, best first; some may not exist.

    $PANOPTIC_WEIGHTS where it is set, the package's weights/, and the user's data folder
    ($XDG_DATA_HOME/panoptic_ros/weights, see the XDG base directory specification).
    """
    own = os.environ.get(VARIABLE)
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    places = [resources.expanded(own)] if own else []
    places.append(resources.share_dir() / "weights")
    # Users of a container's own number have no home.
    with suppress(ValueError):
        places.append(resources.expanded(data) / "panoptic_ros" / "weights")
    return places


def find(name: str) -> Path | None:
    """Return the path of the weights of a name; None where there are none.

    Without suffix for a checkpoint, with .yaml for the description of a graph.
    """
    for folder in folders():
        path = folder / name
        # Not with_suffix: a name may hold a dot of its own.
        if path.with_name(f"{path.name}.json").is_file():
            return path
        description = path.with_name(f"{path.name}.yaml")
        if _is_of_graph(description):
            return description
    return None


def _is_of_graph(description: Path) -> bool:
    """Say whether a .yaml describes a graph of the same name (manifest.yaml does not)."""
    return description.is_file() and description.with_suffix(".xml").is_file()


def target() -> Path:
    """Return the folder that new weights go to: the first that can be written.

    Raise OSError that lists the folders where none can.
    """
    places = folders()
    for place in places:
        parent = next(p for p in (place, *place.parents) if p.exists())
        if parent.is_dir() and os.access(parent, os.W_OK):
            return place
    raise OSError(
        f"none of the folders for weights can be written: {', '.join(map(str, places))}; "
        f"set {VARIABLE} to one that can"
    )


def installed() -> dict[str, Path]:
    """Return all weights there are by name, with their paths as `find` gives them."""
    found: dict[str, Path] = {}
    for folder in folders():
        for side in sorted(folder.rglob("*.json")):
            path = side.with_name(side.name.removesuffix(".json"))
            found.setdefault(path.relative_to(folder).as_posix(), path)
        for description in filter(_is_of_graph, sorted(folder.rglob("*.yaml"))):
            name = description.relative_to(folder).as_posix().removesuffix(".yaml")
            found.setdefault(name, description)
    return found


def incomplete() -> dict[str, Path]:
    """Return by name the tensor files without a side file, which `find` passes over."""
    found: dict[str, Path] = {}
    for folder in folders():
        for file in sorted(folder.rglob("*.safetensors")):
            path = file.with_name(file.name.removesuffix(".safetensors"))
            if not path.with_name(f"{path.name}.json").is_file():
                found.setdefault(path.relative_to(folder).as_posix(), file)
    return found
