"""Score predictions: `python -m panoptic_ros evaluate WHAT`; each module here is one WHAT."""

from __future__ import annotations

import argparse

from panoptic_ros.cli.evaluate import files, heads

HELP = "score predictions against ground truth"
COMMANDS = {"files": files, "heads": heads}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per module to a parser."""
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(evaluate=module.run)


def run(args: argparse.Namespace) -> int:
    """Run the sub-command; return its exit code."""
    return args.evaluate(args)
