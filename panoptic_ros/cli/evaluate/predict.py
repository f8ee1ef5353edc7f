"""`evaluate predict`: label pictures without truth, for an official evaluator or to look at."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from panoptic_ros.cli import positive
from panoptic_ros.cli.evaluate.dataset import (
    EXIT_BROKEN_FILES,
    EXIT_CANNOT_RUN,
    add_export_argument,
)

HELP = "label pictures without truth and write what benchmarks take; nothing is scored"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder of pictures"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--weights", default="town", help="model name or file (default: town)")
    parser.add_argument("--fusion", metavar="NAME", help="merging strategy (default: the model's)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--limit", type=positive, metavar="N", help="first N pictures only")
    add_export_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Label the pictures; return 1 if one was broken, 2 if all were."""
    from panoptic_ros.evaluation.picture_run import label_pictures
    from panoptic_ros.pipeline import PanopticPipeline

    pipeline = PanopticPipeline.load(args.weights, device=args.device)
    if args.fusion:
        pipeline.set_fusion(args.fusion, pipeline.options)
    formats = tuple(dict.fromkeys(args.export))
    done = label_pictures(pipeline, args.images, args.out, formats, args.limit)
    for line in done.broken:
        print(f"broken: {line}", file=sys.stderr)
    print(f"{done.labeled} pictures labeled: {args.out}")
    if not done.labeled:
        return EXIT_CANNOT_RUN
    return EXIT_BROKEN_FILES if done.broken else 0
