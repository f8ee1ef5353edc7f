"""Score a model on a data set, or something else: `evaluate --dataset NAME`, `evaluate WHAT`.

Each module here is one WHAT, but for `dataset`, which is `evaluate` itself.
"""

from __future__ import annotations

import argparse

from panoptic_ros.cli.evaluate import compare, dataset, files, grid, heads, predict, tracks, video

HELP = "score a model on a data set, or predictions that exist (evaluate WHAT)"
COMMANDS = {
    "compare": compare,
    "files": files,
    "grid": grid,
    "heads": heads,
    "predict": predict,
    "tracks": tracks,
    "video": video,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate` and one sub-command per module to a parser."""
    dataset.add_arguments(parser)
    parser.set_defaults(evaluate=dataset.run)
    commands = parser.add_subparsers(prog=parser.prog, metavar="WHAT", required=False)
    parser.usage = (
        f"{parser.prog} --dataset NAME --data DIR --out DIR [option ...]\n"
        f"       {parser.prog} WHAT [option ...]"
    )
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(evaluate=module.run)


def run(args: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    return args.evaluate(args)
