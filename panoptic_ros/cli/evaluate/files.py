"""`evaluate files`: score predictions of any origin, COCO-panoptic files or label images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_ros.cli.evaluate.arguments import FILES, add_file_arguments, open_sources
from panoptic_ros.cli.evaluate.dataset import (
    BOUNDARY_HELP,
    EXIT_BROKEN_FILES,
    EXIT_CANNOT_RUN,
    add_export_argument,
    write_page,
)

if TYPE_CHECKING:
    from panoptic_ros.evaluation.label_files import FileScore

HELP = "score predictions that are files, of any origin; no network is run"
_KINDS = ("coco", "cityscapes", "kitti", "kitti_step", "labels", "bag")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    add_file_arguments(
        parser, "a COCO-panoptic JSON file, a folder of label images, or a bag with them", _KINDS
    )
    for name, what in FILES.items():
        parser.add_argument(
            f"--{name}-dir",
            type=Path,
            metavar="DIR",
            help=f"{what}: the JSON's PNG files (default: the folder of its name beside it)",
        )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the scores, as fractions")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write results.json and report.html there"
    )
    parser.add_argument("--boundary", action="store_true", help=BOUNDARY_HELP)
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="the camera's pictures, for the report"
    )
    add_export_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print and write the scores; return 1 if a file was broken, 2 if nothing could be scored."""
    from panoptic_ros.evaluation.console_tables import percent
    from panoptic_ros.evaluation.file_results import METHOD, FilePainter, file_results
    from panoptic_ros.evaluation.label_files import score_sources
    from panoptic_ros.evaluation.report.tables import further_table, quality_table
    from panoptic_ros.whole_files import write_json

    truth, prediction = open_sources(args)
    if args.export and not args.out:
        raise ValueError("--export writes below --out; name a folder")
    formats = tuple(dict.fromkeys(args.export))
    painter = FilePainter(args.out, truth.labels, args.images, formats) if args.out else None
    score = score_sources(truth, prediction, args.boundary, painter)
    print(quality_table(score.results(), {c.id: c.name for c in score.labels.classes}))
    results = file_results(score, truth, prediction)
    further = further_table(results)
    print(f"\nmIoU, %: {percent(results['fusion'][METHOD]['semantic']['miou'])}")
    print(f"\n{further.to_text()}" if further else "")
    if args.json:
        write_json(args.json, score.results(), indent=2)
    if painter:
        painter.finish(frame.entry.name for frame in score.frames)
        write_json(args.out / "results.json", results)
        write_page(results, args.out)
    return _tell(score)


def _tell(score: FileScore) -> int:
    """Say on stderr what was wrong; return the exit code."""
    for image_id in score.missing:
        print(f"no prediction for image {image_id}: counted as empty", file=sys.stderr)
    if score.unused:
        print(f"predictions without truth, ignored: {', '.join(score.unused)}", file=sys.stderr)
    for line in score.warnings:
        print(f"warning: {line}", file=sys.stderr)
    for line in score.broken:
        print(f"broken: {line}", file=sys.stderr)
    if score.broken:
        print(f"{len(score.broken)} broken files", file=sys.stderr)
    if score.unscorable:
        print(f"nothing could be scored: {score.unscorable}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    return EXIT_BROKEN_FILES if score.broken else 0
