"""`evaluate video`: score anyone's tracks and panoptic videos that are files."""

from __future__ import annotations

import argparse
from pathlib import Path

from panoptic_ros.cli.evaluate.file_arguments import add_file_arguments

HELP = "score tracks or panoptic videos that are files: HOTA, MOTS, VPQ, STQ; no network is run"
MOTS = "kitti_mots"
_LAYOUTS = (MOTS, "cityscapes", "kitti", "kitti_step", "labels")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    add_file_arguments(
        parser, "KITTI MOTS' text file or a folder of them, or a folder of label images", _LAYOUTS
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all scores")


def run(args: argparse.Namespace) -> int:
    """Print and write the scores.

    Raise OSError or ValueError for files that cannot be used.
    """
    from panoptic_ros.evaluation.video_run import mots_table, score_mots, score_video, video_table
    from panoptic_ros.whole_files import write_json

    if MOTS in (args.truth_layout, args.prediction_layout) or _holds_text(args.truth):
        results = score_mots(args.truth, args.prediction)
        print(mots_table(results))
    else:
        layouts = args.truth_layout, args.prediction_layout
        results = score_video(args.truth, args.prediction, layouts)
        print(video_table(results))
    if args.json:
        write_json(args.json, results, indent=2)
    return 0


def _holds_text(path: Path) -> bool:
    return path.suffix == ".txt" or (path.is_dir() and any(path.glob("*.txt")))
