"""The arguments of commands that score files: truth, predictions, and what they are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

FILES = {"truth": "ground truth", "prediction": "predictions"}


def add_file_arguments(parser: argparse.ArgumentParser, what: str, layouts: Sequence[str]) -> None:
    """Add --truth, --prediction and the layout of each.

    what: the files' kinds, in words; layouts: the names of these kinds.
    """
    for name, role in FILES.items():
        parser.add_argument(
            f"--{name}", type=Path, required=True, metavar="PATH", help=f"{role}: {what}"
        )
        parser.add_argument(
            f"--{name}-layout",
            choices=layouts,
            help=f"{role}: what the files are (default: found from them)",
        )
