"""`evaluate files`: score COCO-panoptic predictions of any origin."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from panoptic_ros.cli.evaluate.dataset import EXIT_BROKEN_FILES, EXIT_CANNOT_RUN

HELP = "panoptic quality of COCO-panoptic prediction files; no network is run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    for name, what in (("truth", "ground truth"), ("prediction", "predictions")):
        parser.add_argument(
            f"--{name}", type=Path, required=True, metavar="JSON", help=f"{what}: the JSON file"
        )
        parser.add_argument(
            f"--{name}-dir", type=Path, required=True, metavar="DIR", help=f"{what}: its PNG files"
        )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the scores, as fractions")


def run(args: argparse.Namespace) -> int:
    """Print and write the scores; return 1 if a file was broken, 2 if nothing could be scored."""
    from panoptic_ros.evaluation.console_tables import quality_table
    from panoptic_ros.evaluation.label_files import score_files
    from panoptic_ros.whole_files import write_json

    score = score_files(args.truth, args.truth_dir, args.prediction, args.prediction_dir)
    results = score.results()
    print(quality_table(results, {c.id: c.name for c in score.categories}))
    if args.json:
        write_json(args.json, results, indent=2)
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
    if score.broken:
        return EXIT_BROKEN_FILES
    return 0
