"""The held-out frames of the town, on which the shipped weights are scored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from panoptic_ros.datasets.cityscapes import Cityscapes, Sample

# No training or validation frame may come from these seeds.
SEEDS = range(900_000, 900_100)
FRAMES_PER_SEED = 2
# Tenths of a second between the frames of a seed: long enough for another view.
STRIDE = 25
SIZE = (512, 1024)
SPLIT = "heldout"


def held_out_frames(root: Path, limit: int | None = None) -> Sequence[Sample]:
    """Return the first `limit` held-out frames of a folder, rendered first where missing.

    200 frames of 512x1024 in the Cityscapes layout, split `heldout`.
    Raise RuntimeError where frames are missing and nothing can be rendered.
    """
    count = FRAMES_PER_SEED * len(SEEDS) if limit is None else limit
    needed = SEEDS[: -(-count // FRAMES_PER_SEED)]
    missing = [seed for seed in needed if not _is_complete(root, seed)]
    if missing:
        _render(root, missing)
    return Cityscapes(root, SPLIT)[:count]


def _is_complete(root: Path, seed: int) -> bool:
    found = (root / "leftImg8bit" / SPLIT).glob(f"*/[!.]*_{seed:06d}_*_leftImg8bit.png")
    return len(list(found)) >= FRAMES_PER_SEED


def _render(root: Path, seeds: list[int]) -> None:
    from panoptic_ros.synthetic.town import check_rendering

    try:
        check_rendering()
    except RuntimeError as error:
        raise RuntimeError(
            f"{root} lacks {len(seeds)} of the town's held-out drives, and they cannot be made "
            f"here: {error}"
        ) from error
    from panoptic_ros.synthetic.town.generate import Job, generate

    job = Job(root, SPLIT, SIZE, FRAMES_PER_SEED, STRIDE)
    workers = min(len(seeds), len(os.sched_getaffinity(0)))
    with tqdm(total=len(seeds) * FRAMES_PER_SEED, desc="rendering", unit="frame") as bar:
        for done in generate(job, seeds, workers):
            bar.update(done)
