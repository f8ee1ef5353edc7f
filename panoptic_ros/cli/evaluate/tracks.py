"""`evaluate tracks`: identities over drives through the town, on true and predicted labels."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_ros.cli.evaluate.arguments import add_held_out_arguments
from panoptic_ros.whole_files import write_json

if TYPE_CHECKING:
    from panoptic_ros.evaluation.town_drive import TownDrive

HELP = "score tracks on drives through the town: HOTA, IDF1, identity switches"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    add_held_out_arguments(
        parser,
        what="the held-out drives (the one in sample/ is scored, too)",
        scores="the scores, in percent",
        limit="first N frames of each drive only",
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="write tracks.html there")


def run(args: argparse.Namespace) -> int:
    """Print and write the scores.

    Raise OSError or ValueError for weights, a device or drives that cannot be used.
    """
    from panoptic_ros.evaluation.track_report import track_table, write_report
    from panoptic_ros.evaluation.track_run import compare_tracks
    from panoptic_ros.pipeline import PanopticPipeline

    # The model first: whether it loads is known at once, drives may take minutes.
    pipeline = PanopticPipeline.load(args.weights, device=args.device)
    drives = _drives(args.data, args.limit)
    comparison = compare_tracks(drives, pipeline.labels, pipeline)
    results = comparison.results
    print(track_table(results))
    if args.json:
        write_json(args.json, results, indent=2)
    if args.report:
        write_report(args.report, results, comparison.first_drive, pipeline.labels, pipeline.name)
    return 0


def _drives(root: Path, limit: int | None) -> list[TownDrive]:
    from panoptic_ros.datasets.town import Town
    from panoptic_ros.evaluation import held_out
    from panoptic_ros.evaluation.town_drive import bag_drive, files_drive
    from panoptic_ros.resources import share_dir

    drives = [bag_drive(share_dir() / "sample" / "town_drive", limit)]
    try:
        samples = held_out.held_out_drives(root, limit=limit)
    except held_out.FramesMissing as error:
        print(f"only the drive in sample/ is scored: {error}", file=sys.stderr)
        return drives
    town = Town(root, held_out.DRIVES_SPLIT)
    return drives + [files_drive(town, drive) for drive in samples]
