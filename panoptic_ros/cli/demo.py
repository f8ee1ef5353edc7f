"""`python -m panoptic_ros demo`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from panoptic_ros.cli import add_rerun_argument, positive

HELP = "run camera, node and viewer as processes and leave pictures to look at"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--video", type=Path, help="a video file (default: the shipped drive)")
    parser.add_argument("--weights", default="town", help="model: a name or a .yaml file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--frames", type=positive, default=60, help="most frames to show")
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder to write")
    add_rerun_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo; 1 where no picture came out."""
    from panoptic_ros.demo.demo_page import table
    from panoptic_ros.demo.processes import DemoError
    from panoptic_ros.demo.run import PAGE
    from panoptic_ros.demo.run import run as run_demo

    try:
        summary = run_demo(args.out, args.video, args.weights, args.device, args.frames, args.rerun)
    except DemoError as error:
        print(f"panoptic: error: {error}", file=sys.stderr)
        return 1
    print(table(summary))
    print(f"Look at {args.out / PAGE}")
    return 0
