"""`evaluate heads`: the heuristic against the panoptic head, on held-out frames of the town."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HELP = "compare the heuristic merge with the panoptic head on the town's held-out frames"
EXIT_BROKEN_FILES = 1
EXIT_CANNOT_RUN = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the table, in percent")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data/town"),
        metavar="DIR",
        help="folder of the held-out frames, rendered into it where missing (default: data/town)",
    )
    parser.add_argument("--weights", default="town", help="model name or file (default: town)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--limit", type=_positive, metavar="N", help="first N frames only")


def run(args: argparse.Namespace) -> int:
    """Print and write the table; return 1 if a frame was broken, 2 if nothing can run."""
    from panoptic_ros.evaluation.heads import compare_heads, head_table
    from panoptic_ros.evaluation.held_out import held_out_frames
    from panoptic_ros.pipeline import PanopticPipeline

    try:
        # The model first: whether it loads is known at once, frames may take minutes.
        pipeline = PanopticPipeline.load(args.weights, device=args.device, fusion="conv_head")
        samples = held_out_frames(args.data, args.limit)
    except RuntimeError as error:
        print(f"panoptic: error: {error}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    comparison = compare_heads(pipeline, samples)
    results = comparison.results()
    print(head_table(results))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    for line in comparison.broken:
        print(f"broken: {line}", file=sys.stderr)
    return EXIT_BROKEN_FILES if comparison.broken else 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number
