"""Train a network: `python -m panoptic_ros train semantic|instance|panoptic|head|ranking`."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from panoptic_ros.allocator import keep_freed_memory
from panoptic_ros.resources import share_dir

HELP = "train the semantic network, the detector, both on one backbone, or what merges them"
KINDS = ("semantic", "instance", "panoptic", "head", "ranking")
EPILOG = """\
Settings come from config/training/KIND.yaml and can be changed one by one:
  train semantic --data DIR --run runs/semantic --set steps=20000 --set optimizer.lr=5e-4
  train semantic --data DIR --run runs/semantic --minutes 60 --set initialize=imagenet
The same command again goes on from the run's last checkpoint. Several processes or GPUs:
  accelerate launch --num_processes 2 -m panoptic_ros train semantic --data DIR --run DIR
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("kind", choices=KINDS, help="what to train")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder in the Cityscapes layout, with leftImg8bit/ and gtFine/",
    )
    parser.add_argument(
        "--run",
        dest="folder",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder for checkpoints and logs",
    )
    parser.add_argument(
        "--output", type=Path, help="weights to write, without suffix (default: RUN/KIND)"
    )
    parser.add_argument("--config", type=Path, help="settings (default: config/training/KIND.yaml)")
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help="end after so many minutes, and the learning rate's decay with them, instead of "
        "after the settings' steps (same as --set minutes=N)",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting, such as steps=2000 or optimizer.lr=1e-3; repeatable",
    )


def run(args: argparse.Namespace) -> int:
    """Train to the last step, write weights and side file; return the exit status."""
    # Imported here: `--help` of any command should not wait for torch.
    from panoptic_ros.training.runs import start

    config = args.config or share_dir() / "config" / "training" / f"{args.kind}.yaml"
    overrides = [*args.overrides, *([] if args.minutes is None else [f"minutes={args.minutes}"])]
    output = args.output or args.folder / args.kind
    if output.suffix in (".safetensors", ".json"):
        raise ValueError(f"--output is {output}; write {output.with_suffix('')}, no suffix")
    keep_freed_memory()
    command = shlex.join(["python", "-m", "panoptic_ros", *sys.argv[1:]])
    began = time.monotonic()
    try:
        scores = start(args.kind, config, overrides, args.data, args.folder, output, command)
    except FloatingPointError as error:
        print(f"training stopped: {error}", file=sys.stderr)
        return 1
    if scores is not None:
        minutes = (time.monotonic() - began) / 60
        for name, value in scores.items():
            print(f"{name:24s} {value:8.2f}")
        print(f"weights: {output}.safetensors ({minutes:.1f} min)")
    return 0
