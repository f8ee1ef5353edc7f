"""`evaluate grid`: free space and contacts on the ground plans of drives through the town."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from panoptic_ros.cli import positive

HELP = "score the semantic grid on drives through the town: free space, contacts, fusion"
EXIT_CANNOT_RUN = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the scores, 0..1 and m")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data/town"),
        metavar="DIR",
        help="folder of the held-out drives, rendered into it where missing (default: data/town)",
    )
    parser.add_argument("--weights", default="town", help="model name or file (default: town)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="first N frames of each drive only"
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="write grid.html there")


def run(args: argparse.Namespace) -> int:
    """Print and write the scores; return 2 where drives are missing and cannot be rendered.

    Raise OSError or ValueError for weights, a device or drives that cannot be used.
    """
    from panoptic_ros.datasets.town import Town
    from panoptic_ros.evaluation import held_out
    from panoptic_ros.evaluation.grid_report import ground_section, ground_table, write_report
    from panoptic_ros.evaluation.grid_run import GroundDrive, compare_ground
    from panoptic_ros.grid.window import GridWindow
    from panoptic_ros.pipeline import PanopticPipeline

    # The model first: whether it loads is known at once, drives may take minutes.
    pipeline = PanopticPipeline.load(args.weights, device=args.device)
    frames = min(args.limit or held_out.FRAMES_PER_DRIVE, held_out.FRAMES_PER_DRIVE)
    try:
        samples = held_out.held_out_drives(args.data, frames=frames)
    except RuntimeError as error:
        print(f"panoptic: error: {error}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    town, window = Town(args.data, held_out.DRIVES_SPLIT), GridWindow()
    drives = [GroundDrive.of(town, drive, window) for drive in samples]
    comparison = compare_ground(drives, pipeline.labels, pipeline, window)
    print(ground_table(comparison.results))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(comparison.results, indent=2) + "\n", encoding="utf-8")
    if args.report:
        section = ground_section(comparison.results, comparison.ends, pipeline.labels, window)
        write_report(args.report, section, pipeline.name)
    return 0
