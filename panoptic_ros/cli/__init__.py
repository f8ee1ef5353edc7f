"""The commands of `python -m panoptic_ros`: each module here is one.

A command module has HELP (one line), add_arguments(parser) and run(args) -> exit code.
It imports what is heavy inside run, so that `--help` stays quick.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from types import ModuleType


def modules() -> dict[str, str]:
    """Map command name (its module's, with dashes) to the module's full name."""
    return {
        info.name.replace("_", "-"): f"{__name__}.{info.name}"
        for info in pkgutil.iter_modules(__path__)
    }


def load(names: list[str]) -> dict[str, ModuleType]:
    """Import the modules of some commands. Raise KeyError for an unknown name."""
    known = modules()
    return {name: importlib.import_module(known[name]) for name in names}


def count(text: str) -> int:
    """Read an option's value as a whole number of at least 0, as argparse's `type` asks."""
    return _whole(text, 0)


def positive(text: str) -> int:
    """Read an option's value as a whole number of at least 1."""
    return _whole(text, 1)


def _whole(text: str, least: int) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"{text} is not at least {least}")
    return number
