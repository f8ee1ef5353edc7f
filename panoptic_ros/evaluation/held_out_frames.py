"""The held-out frames of the town, on which the shipped weights are scored."""

from __future__ import annotations

import os
from pathlib import Path

from tqdm import tqdm

from panoptic_ros.datasets.cityscapes import Cityscapes, Sample

# No frame to train on, or to choose weights by, may come from these seeds.
SEEDS = range(900_000, 900_100)
FRAMES_PER_SEED = 2
# Tenths of a second between the frames of a seed: long enough for another view.
STRIDE = 40
SIZE = (512, 1024)
SPLIT = "val"


def held_out_frames(root: Path, limit: int | None = None) -> list[Sample]:
    """Return the first `limit` held-out frames of a folder, rendered first where missing.

    200 frames of 512x1024 in the Cityscapes layout, split `val`; other frames of that split
    are left out. Raise RuntimeError where frames are missing and nothing can be rendered.
    """
    names = [name for seed in SEEDS for name in _names(seed)][:limit]
    seeds = SEEDS[: -(-len(names) // FRAMES_PER_SEED)]
    missing = [seed for seed in seeds if not all(_is_there(root, n) for n in _names(seed))]
    if missing:
        _render(root, missing)
    samples = {sample.name: sample for sample in Cityscapes(root, SPLIT)}
    return [samples[name] for name in names]


def _names(seed: int) -> list[str]:
    """Return the names that the command `town` gives a seed's frames."""
    return [f"town_{seed:06d}_{k * STRIDE:06d}" for k in range(FRAMES_PER_SEED)]


def _is_there(root: Path, name: str) -> bool:
    return (root / "leftImg8bit" / SPLIT / "town" / f"{name}_leftImg8bit.png").is_file()


def _render(root: Path, seeds: list[int]) -> None:
    from panoptic_ros.synthetic import check_rendering

    try:
        check_rendering()
    except OSError as error:
        raise RuntimeError(
            f"{root} lacks {len(seeds)} of the town's held-out drives, and they cannot be made "
            f"here: {error}"
        ) from error
    from panoptic_ros.synthetic.generate import Job, generate

    job = Job(root, SPLIT, SIZE, FRAMES_PER_SEED, STRIDE)
    workers = min(len(seeds), len(os.sched_getaffinity(0)))
    with tqdm(total=len(seeds) * FRAMES_PER_SEED, desc="rendering", unit="frame") as bar:
        for done in generate(job, seeds, workers):
            bar.update(done)
