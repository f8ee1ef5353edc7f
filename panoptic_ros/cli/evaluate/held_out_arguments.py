"""What the commands share that score on the town's held-out seeds."""

from __future__ import annotations

import argparse
from pathlib import Path

from panoptic_ros.cli import positive


def add_held_out_arguments(
    parser: argparse.ArgumentParser, *, what: str, scores: str, limit: str
) -> None:
    """Add --json, --data, --weights, --device and --limit to a parser.

    what: is scored; scores: is written to the JSON file; limit: says what --limit N takes.
    """
    parser.add_argument("--json", type=Path, metavar="OUT", help=f"write {scores}")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data/town"),
        metavar="DIR",
        help=f"folder of {what}, rendered into it where missing (default: data/town)",
    )
    parser.add_argument("--weights", default="town", help="model name or file (default: town)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--limit", type=positive, metavar="N", help=limit)
