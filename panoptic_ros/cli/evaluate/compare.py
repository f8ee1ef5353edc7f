"""`evaluate compare`: runs against the first of them, with intervals, for people and for CI."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

HELP = "differences of runs per class, with intervals paired over frames; limits for CI"
EXIT_WORSE = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="folder that `evaluate` or `evaluate files --out` wrote; the first is the baseline",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write comparison.json and comparison.html there"
    )
    parser.add_argument("--fusion", metavar="NAME", help="strategy (default: the first in common)")
    parser.add_argument(
        "--fail-below",
        type=_limit,
        nargs="+",
        action="extend",
        default=[],
        metavar="METRIC=POINTS",
        help=f"exit code {EXIT_WORSE} where a difference is lower, in percentage points: pq=-0.5, "
        "miou=-1, pq.car=-2",
    )


def run(args: argparse.Namespace) -> int:
    """Print and write the comparison; return EXIT_WORSE where a limit is broken.

    Raise OSError or ValueError for runs that cannot be compared.
    """
    from panoptic_ros.evaluation.comparison import below, compare, open_runs
    from panoptic_ros.evaluation.comparison_report import comparison_text, write_comparison
    from panoptic_ros.whole_files import write_json

    limits = dict(args.fail_below)
    if len(limits) < len(args.fail_below):
        raise ValueError("--fail-below has two limits of one metric; give one")
    runs = open_runs(args.runs, args.fusion)
    comparison = compare(runs)
    print(comparison_text(comparison))
    if args.out:
        write_json(args.out / "comparison.json", comparison)
        write_comparison(comparison, runs, args.out / "comparison.html")
        print(f"Written: {args.out / 'comparison.json'}, {args.out / 'comparison.html'}")
    broken = below(comparison, limits)
    for line in broken:
        print(f"below the limit: {line}")
    return EXIT_WORSE if broken else 0


def _limit(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not name or not math.isfinite(limit):
        raise argparse.ArgumentTypeError(f"{text!r} must be METRIC=POINTS, as pq=-0.5")
    return name, limit
