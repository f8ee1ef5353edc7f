"""`evaluate grid`: free space and contacts on the ground plans of drives through the town."""

from __future__ import annotations

import argparse
from pathlib import Path

from panoptic_ros.cli.evaluate.arguments import add_held_out_arguments
from panoptic_ros.whole_files import write_json

HELP = "score the semantic grid on drives through the town: free space, contacts, fusion"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    add_held_out_arguments(
        parser,
        what="the held-out drives",
        scores="the scores, 0..1 and m",
        limit="first N frames of each drive only",
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="write grid.html there")


def run(args: argparse.Namespace) -> int:
    """Print and write the scores.

    Raise OSError or ValueError for weights, a device or drives that cannot be used, or rendered.
    """
    from panoptic_ros.datasets.town import Town
    from panoptic_ros.evaluation import held_out
    from panoptic_ros.evaluation.grid_report import ground_section, ground_table, write_report
    from panoptic_ros.evaluation.grid_run import GroundDrive, compare_ground
    from panoptic_ros.grid.window import GridWindow
    from panoptic_ros.pipeline import PanopticPipeline

    # The model first: whether it loads is known at once, drives may take minutes.
    pipeline = PanopticPipeline.load(args.weights, device=args.device)
    samples = held_out.held_out_drives(args.data, limit=args.limit)
    town, window = Town(args.data, held_out.DRIVES_SPLIT), GridWindow()
    drives = [GroundDrive.of(town, drive, window) for drive in samples]
    comparison = compare_ground(drives, pipeline.labels, pipeline, window)
    print(ground_table(comparison.results))
    if args.json:
        write_json(args.json, comparison.results, indent=2)
    if args.report:
        section = ground_section(comparison.results, comparison.ends, pipeline.labels, window)
        write_report(args.report, section, pipeline.name)
    return 0
