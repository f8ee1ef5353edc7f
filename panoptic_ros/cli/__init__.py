"""The commands of `python -m panoptic_ros`: each module here is one.

A command module has HELP (one line), add_arguments(parser) and run(args) -> exit code.
It imports what is heavy inside run, so that `--help` stays quick.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from panoptic_ros.labels import LabelSet
    from panoptic_ros.rerun_log import RerunLog


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


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --ray and --gpus-per-worker to a parser."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on a Ray cluster: auto (this machine's, or RAY_ADDRESS), HOST:PORT, or local "
        "(docs/scale.md)",
    )
    parser.add_argument(
        "--gpus-per-worker",
        type=_share,
        metavar="SHARE",
        help="of a GPU, 0 to 1: 0.25 lets four workers share one (default: 1 where there are any)",
    )


def add_rerun_argument(parser: argparse.ArgumentParser) -> None:
    """Add --rerun to a parser."""
    parser.add_argument(
        "--rerun",
        type=_recording,
        metavar="OUT.rrd",
        help="record the frames for Rerun's viewer: camera, labels, tracks, grid, latency, quality "
        "(the extra `rerun`, docs/recipes.md)",
    )


def recording(
    path: Path | None, name: str, labels: LabelSet
) -> AbstractContextManager[RerunLog | None]:
    """Return a recording in a file, none for None; name: of what is recorded."""
    if path is None:
        return nullcontext()
    from panoptic_ros.rerun_log import RerunLog

    return RerunLog(path, name, labels)


def absolute_if_file(name: str) -> str:
    """Return a model file's path as it is known in every folder; a model's name as it is."""
    return str(Path(name).absolute()) if Path(name).exists() else name


@contextmanager
def going_on(out: Path) -> Iterator[None]:
    """Say after Ctrl-C that the same command goes on from what it has left."""
    try:
        yield
    except KeyboardInterrupt:
        print(
            f"interrupted; what is done is in {out}: the same command goes on from there",
            file=sys.stderr,
        )
        raise


def _recording(text: str) -> Path:
    path = Path(text)
    if path.suffix != ".rrd":
        raise argparse.ArgumentTypeError(f"{text} does not end in .rrd, by which Rerun knows it")
    # A package that is missing is told before a model is loaded.
    importlib.import_module("rerun")
    return path


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1: a model runs on one GPU")
    return share


def _whole(text: str, least: int) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"{text} is not at least {least}")
    return number
