"""Render frames of the procedural town with labels, depth, poses and ground plans."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from tqdm import tqdm

HELP = "render the procedural town to disk (Cityscapes layout) or to a rosbag2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--setting",
        choices=("town", "highway", "oldtown"),
        default="town",
        help="streets of a town, motorways and country roads, or narrow streets on hills "
        "(default: town)",
    )
    parser.add_argument(
        "--weather",
        choices=("day", "rain", "night", "any"),
        default="day",
        help="changes the pictures, not their truth (default: day; any: each seed its own)",
    )
    parser.add_argument("--split", default="train", help="train, val or test (default: train)")
    parser.add_argument("--first-seed", type=int, default=0, help="first seed (default: 0)")
    parser.add_argument("--count", type=int, default=1, help="number of seeds (default: 1)")
    parser.add_argument("--frames", type=int, default=3, help="frames per seed (default: 3)")
    parser.add_argument(
        "--stride", type=int, default=25, help="tenths of a second between frames (default: 25)"
    )
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), default=(512, 1024)
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="processes, one per core at most (default: 1)"
    )
    parser.add_argument(
        "--bag", action="store_true", help="write each seed as a rosbag2 (mcap) instead of files"
    )
    parser.add_argument(
        "--camera",
        choices=("front", "rear"),
        default="front",
        help="which of the car's cameras takes the pictures (default: front; rear: with --bag)",
    )


def run(args: argparse.Namespace) -> int:
    """Render.

    Raise ValueError for a bad option, OSError where nothing can be rendered or written.
    """
    from panoptic_ros.synthetic import check_rendering

    _check(args)
    check_rendering()
    from panoptic_ros.synthetic.generate import Job, generate

    job = Job(
        args.out,
        args.split,
        tuple(args.size),
        args.frames,
        args.stride,
        args.bag,
        args.camera,
        args.setting,
        args.weather,
    )
    seeds = range(args.first_seed, args.first_seed + args.count)
    with tqdm(total=args.count * args.frames, unit="frame", desc=args.split) as bar:
        for done in generate(job, seeds, args.workers):
            bar.update(done)
    return 0


def _check(args: argparse.Namespace) -> None:
    from panoptic_ros.messages.images import MAX_PIXELS

    for name in ("count", "frames", "stride", "workers"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} is {getattr(args, name)}, it must be at least 1")
    # Every kind of file has a folder of that name.
    if not re.fullmatch(r"[\w-][\w.-]*", args.split):
        raise ValueError(f"--split is {args.split!r}, it must be a name, such as train or val")
    if args.first_seed < 0:
        raise ValueError(f"--first-seed is {args.first_seed}, it must not be negative")
    if args.camera != "front" and not args.bag:
        raise ValueError(
            f"--camera {args.camera} needs --bag: files have the truth ahead of the car"
        )
    if min(args.size) < 32:
        raise ValueError(f"--size is {args.size}, both must be at least 32 pixels")
    if args.size[0] * args.size[1] > MAX_PIXELS:
        raise ValueError(f"--size is {args.size}, more than {MAX_PIXELS} pixels")
