"""`evaluate heads`: the heuristic against the panoptic head, on held-out frames of the town."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from panoptic_ros.cli.evaluate.arguments import add_held_out_arguments
from panoptic_ros.cli.evaluate.dataset import EXIT_BROKEN_FILES
from panoptic_ros.whole_files import write_json

HELP = "compare the heuristic merge with the panoptic head on the town's held-out frames"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    add_held_out_arguments(
        parser,
        what="the held-out frames",
        scores="the table, in percent",
        limit="first N frames only",
    )


def run(args: argparse.Namespace) -> int:
    """Print and write the table; return 1 if a frame was broken.

    Raise OSError or ValueError for weights, a device or frames that cannot be used, or rendered.
    """
    from panoptic_ros.evaluation.dataset_run import DatasetRun, RunOptions
    from panoptic_ros.evaluation.heads import STRATEGIES, compare_heads, head_table
    from panoptic_ros.evaluation.held_out import held_out_frames
    from panoptic_ros.pipeline import PanopticPipeline

    # The model first: whether it loads is known at once, frames may take minutes.
    PanopticPipeline.load(args.weights, device=args.device, fusion="conv_head")
    names = [sample.name for sample in held_out_frames(args.data, args.limit)]
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(
            "town",
            args.data,
            Path(folder),
            names=tuple(names),
            weights=args.weights,
            fusion=tuple(STRATEGIES.values()),
            device=args.device,
        )
        outcome = DatasetRun(options)()
    comparison = compare_heads(outcome.results)
    print(head_table(comparison))
    if args.json:
        write_json(args.json, comparison, indent=2)
    return EXIT_BROKEN_FILES if outcome.broken else 0
