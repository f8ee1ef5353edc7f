"""Drives through the town at 10 Hz, on which grid and tracks are scored."""

from __future__ import annotations

import os
from pathlib import Path

from tqdm import tqdm

from panoptic_ros.datasets.cityscapes import Sample
from panoptic_ros.datasets.town import Town

# Of the held-out seeds (see heldout.py), some on which the ego car drives; straight and bent.
SEEDS = (900_002, 900_005, 900_008, 900_004, 900_001, 900_007, 900_009, 900_000)
FRAMES = 60
SIZE = (512, 1024)
SPLIT = "drives"


def held_out_drives(root: Path, count: int = 2, frames: int = FRAMES) -> list[list[Sample]]:
    """Return the first frames of held-out drives in a folder, rendered first where missing.

    count: drives, 1..8; frames: of each, 0.1 s apart. `Town(root, SPLIT)` gives their truth.
    Raise ValueError for an impossible count; RuntimeError where frames are missing and nothing
    can be rendered.
    """
    if not 1 <= count <= len(SEEDS):
        raise ValueError(f"{count} drives are asked for; there are 1..{len(SEEDS)}")
    seeds = SEEDS[:count]
    missing = [s for s in seeds if not all(_is_there(root, n) for n in _names(s, frames))]
    if missing:
        _render(root, missing, frames)
    samples = {sample.name: sample for sample in Town(root, SPLIT)}
    return [[samples[name] for name in _names(seed, frames)] for seed in seeds]


def _names(seed: int, frames: int) -> list[str]:
    """Return the names that the command `town` gives a seed's frames."""
    return [f"town_{seed:06d}_{index:06d}" for index in range(frames)]


def _is_there(root: Path, name: str) -> bool:
    return (root / "leftImg8bit" / SPLIT / "town" / f"{name}_leftImg8bit.png").is_file()


def _render(root: Path, seeds: list[int], frames: int) -> None:
    from panoptic_ros.synthetic import check_rendering

    try:
        check_rendering()
    except OSError as error:
        raise RuntimeError(
            f"{root} lacks {len(seeds)} of the town's held-out drives, and they cannot be made "
            f"here: {error}"
        ) from error
    from panoptic_ros.synthetic.generate import Job, generate

    job = Job(root, SPLIT, SIZE, frames, stride=1)
    workers = min(len(seeds), len(os.sched_getaffinity(0)))
    with tqdm(total=len(seeds) * frames, desc="rendering", unit="frame") as bar:
        for done in generate(job, seeds, workers):
            bar.update(done)
