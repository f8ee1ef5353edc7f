"""`evaluate video`: score anyone's tracks and panoptic videos that are files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from panoptic_ros.cli.evaluate.arguments import (
    add_file_arguments,
    open_sources,
    refuse_to_overwrite,
)
from panoptic_ros.cli.evaluate.dataset import EXIT_BROKEN_FILES

HELP = "score tracks or panoptic videos that are files: HOTA, MOTS, VPQ, STQ; no network is run"
MOTS = "kitti_mots"
_LAYOUTS = (MOTS, "cityscapes", "kitti", "kitti_step", "labels", "bag")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    add_file_arguments(
        parser,
        "KITTI MOTS' text file or a folder of them, a folder of label images, or a bag with them",
        _LAYOUTS,
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all scores")


def run(args: argparse.Namespace) -> int:
    """Print and write the scores; return 1 where a bag was broken.

    Raise OSError or ValueError for files that cannot be used.
    """
    from panoptic_ros.evaluation.report.tables import tracks_table
    from panoptic_ros.evaluation.video_run import score_mots, score_video, video_table
    from panoptic_ros.whole_files import write_json

    broken: list[str] = []
    layouts = args.truth_layout, args.prediction_layout
    if MOTS in layouts or (layouts == (None, None) and _holds_text(args.truth)):
        refuse_to_overwrite(args)
        results = score_mots(args.truth, args.prediction)
        print(tracks_table(results).to_text())
    else:
        truth, prediction = open_sources(args)
        results = score_video(truth, prediction)
        print(video_table(results))
        broken = truth.problems + prediction.problems
    if args.json:
        write_json(args.json, results, indent=2)
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return EXIT_BROKEN_FILES if broken else 0


def _holds_text(path: Path) -> bool:
    if path.is_dir():
        # Among label images it is a readme.
        return any(path.glob("*.txt")) and not any(path.rglob("*.png"))
    return path.suffix == ".txt"
