"""The town's held-out seeds: frames that score networks, drives that score grid and tracks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from panoptic_ros.datasets.cityscapes import Cityscapes, Sample
from panoptic_ros.whole_files import alone

# No frame to train on, or to choose weights by, may come from these seeds.
SEEDS = range(900_000, 900_100)
FRAMES_SPLIT, DRIVES_SPLIT = "val", "drives"
SIZE = (512, 1024)
FRAMES_PER_SEED = 2
# Tenths of a second between the frames of a seed: long enough for another view.
STRIDE = 40
# Seeds on which the ego car drives, straight and bent roads.
DRIVE_SEEDS = (900_002, 900_005, 900_008, 900_004, 900_001, 900_007, 900_009, 900_000)
FRAMES_PER_DRIVE = 60


class FramesMissing(OSError):  # noqa: N818 - what is missing is no fault of anything
    """Say which held-out frames are missing and why they cannot be rendered."""


def held_out_frames(root: Path, limit: int | None = None) -> list[Sample]:
    """Return the first `limit` held-out frames of a folder, rendered first where missing.

    200 frames of 512x1024 in the Cityscapes layout, split `val`; other frames of that split
    are left out. Raise FramesMissing where frames are missing and nothing can be rendered.
    """
    count = len(SEEDS) * FRAMES_PER_SEED if limit is None else limit
    seeds = SEEDS[: -(-count // FRAMES_PER_SEED)]
    of_seeds = _samples(root, FRAMES_SPLIT, seeds, FRAMES_PER_SEED, STRIDE)
    return [sample for samples in of_seeds for sample in samples][:count]


def held_out_drives(root: Path, count: int = 2, limit: int | None = None) -> list[list[Sample]]:
    """Return the first frames of held-out drives in a folder, rendered first where missing.

    count: drives, 1..8; limit: frames of each, 60 at most, 0.1 s apart.
    `Town(root, DRIVES_SPLIT)` gives their truth. Raise ValueError for an impossible count;
    FramesMissing where frames are missing and nothing can be rendered.
    """
    if not 1 <= count <= len(DRIVE_SEEDS):
        raise ValueError(f"{count} drives are asked for; there are 1..{len(DRIVE_SEEDS)}")
    frames = FRAMES_PER_DRIVE if limit is None else min(limit, FRAMES_PER_DRIVE)
    return _samples(root, DRIVES_SPLIT, DRIVE_SEEDS[:count], frames, stride=1)


def _samples(
    root: Path, split: str, seeds: Sequence[int], frames: int, stride: int
) -> list[list[Sample]]:
    """Return each seed's frames 0, stride, 2 * stride, ..., rendered first where missing."""
    # Named as the command `town` names them.
    names = {s: [f"town_{s:06d}_{k * stride:06d}" for k in range(frames)] for s in seeds}
    folder = root / "leftImg8bit" / split / "town"
    missing = [
        seed
        for seed, of_seed in names.items()
        if not all((folder / f"{name}_leftImg8bit.png").is_file() for name in of_seed)
    ]
    if missing:
        _render(root, split, missing, frames, stride)
    samples = {sample.name: sample for sample in Cityscapes(root, split)}
    return [[samples[name] for name in of_seed] for of_seed in names.values()]


def _render(root: Path, split: str, seeds: list[int], frames: int, stride: int) -> None:
    from panoptic_ros.synthetic import check_rendering

    try:
        check_rendering()
    except OSError as error:
        raise FramesMissing(
            f"{root} lacks {len(seeds)} of the town's held-out drives, and they cannot be made "
            f"here: {error}"
        ) from error
    from panoptic_ros.synthetic.generate import Job, generate

    job = Job(root, split, SIZE, frames, stride)
    workers = min(len(seeds), len(os.sched_getaffinity(0)))
    bar = tqdm(total=len(seeds) * frames, desc="rendering", unit="frame")
    with alone(root, "--data"), bar:
        for done in generate(job, seeds, workers):
            bar.update(done)
