"""Data sets on disk, one file each, found by name."""

from __future__ import annotations

from pathlib import Path

from panoptic_ros.datasets.cityscapes import Cityscapes, Sample
from panoptic_ros.datasets.town import Town

__all__ = ["DATASETS", "Cityscapes", "Sample", "Town", "open_dataset"]

DATASETS: dict[str, type[Cityscapes]] = {"cityscapes": Cityscapes, "town": Town}


def open_dataset(name: str, root: str | Path, split: str) -> Cityscapes:
    """Return a split of a data set by its name.

    Raise ValueError for an unknown name, FileNotFoundError as the data set does.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; known: {sorted(DATASETS)}")
    return DATASETS[name](root, split)
