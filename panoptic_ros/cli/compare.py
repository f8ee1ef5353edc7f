"""`python -m panoptic_ros compare`: systems on one data set."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from panoptic_ros.cli import count, going_on, positive

HELP = "compare systems on one data set: quality, cost, pictures"
EXIT_BROKEN_FILES = 1
PAGE = "systems.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the data set")
    parser.add_argument(
        "--dataset", default="town", metavar="NAME", help="what it is (default: town)"
    )
    parser.add_argument("--split", help="default: val; kitti training, coco_panoptic val2017")
    parser.add_argument(
        "--systems",
        nargs="+",
        metavar="NAME",
        help="names (docs/systems.md) or model files (default: all of docs/systems.md)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--workers", type=count, default=2, metavar="N", help="threads that read (default: 2)"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="first N frames only")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")


def run(args: argparse.Namespace) -> int:
    """Score and time, print the tables, write results and page; 1 if a frame was broken.

    Raise OSError or ValueError where nothing can be compared.
    """
    from panoptic_ros.evaluation.systems import RESULTS, CompareOptions, SystemsRun
    from panoptic_ros.evaluation.systems_report import system_tables, write_page

    known = {field.name for field in dataclasses.fields(CompareOptions)}
    given = {k: v for k, v in vars(args).items() if k in known and v is not None}
    if args.systems:
        given["systems"] = tuple(args.systems)
    comparison = SystemsRun(CompareOptions(**given))
    for name, reason in comparison.skipped.items():
        print(f"skipped: {name}: {reason}; docs/systems.md trains it", file=sys.stderr)
    with going_on(args.out):
        outcome = comparison()
    print("\n\n".join(table.to_text() for table in system_tables(outcome.results)))
    write_page(outcome.results, outcome.shown, comparison.labels, args.out / PAGE)
    print(f"Written: {args.out / RESULTS}, {args.out / PAGE}")
    if outcome.broken:
        print(f"{len(outcome.broken)} broken frames were skipped", file=sys.stderr)
        return EXIT_BROKEN_FILES
    return 0
