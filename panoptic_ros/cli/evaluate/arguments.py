"""Arguments that several commands have: of files, and of the town's held-out seeds."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_ros.cli import positive

if TYPE_CHECKING:
    from panoptic_ros.datasets.panoptic_sources import PanopticSource

FILES = {"truth": "ground truth", "prediction": "predictions"}
_TOPICS = {"truth": "the town's", "prediction": "the only one that ends in /labels"}


def add_file_arguments(parser: argparse.ArgumentParser, what: str, layouts: Sequence[str]) -> None:
    """Add --truth, --prediction, and layout and topic of each.

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
        parser.add_argument(
            f"--{name}-topic",
            metavar="T",
            help=f"{role}: a bag's topic of label images (default: {_TOPICS[name]})",
        )


def open_sources(args: argparse.Namespace) -> tuple[PanopticSource, PanopticSource]:
    """Open truth and prediction as the arguments say; errors as `open_source`'s.

    Raise ValueError where what is written would take the place of one, or lie among its files.
    """
    from panoptic_ros.datasets.panoptic_sources import open_source

    refuse_to_overwrite(args)
    options = vars(args)
    truth = open_source(
        args.truth, options.get("truth_dir"), args.truth_layout, topic=args.truth_topic
    )
    prediction = open_source(
        args.prediction,
        options.get("prediction_dir"),
        args.prediction_layout,
        truth.labels,
        args.prediction_topic,
    )
    if options.get("out") is not None:
        for name, source in zip(FILES, (truth, prediction), strict=True):
            _refuse_folder(args.out, name, source)
    return truth, prediction


def refuse_to_overwrite(args: argparse.Namespace) -> None:
    """Raise ValueError where --json would take the place of truth or predictions, or join them."""
    if args.json is None:
        return
    file = Path(os.path.realpath(args.json))
    for name in FILES:
        path = Path(os.path.realpath(getattr(args, name)))
        if file == path:
            raise ValueError(f"--json {args.json} is the --{name} itself; choose another")
        if file.is_relative_to(path) and file.suffix != ".json":
            raise ValueError(
                f"--json {args.json} lies in the --{name} {getattr(args, name)} and may be one of "
                "its files; choose another, or one that ends in .json"
            )


def _refuse_folder(out: Path, name: str, source: PanopticSource) -> None:
    from panoptic_ros.datasets.panoptic_sources import FOLDERS

    path, folder = (Path(os.path.realpath(p)) for p in (source.path, out))
    if path.parent == folder and path.name in ("results.json", "report.html"):
        raise ValueError(f"--out {out} would overwrite the --{name} {source.path}; choose another")
    if source.kind in FOLDERS and folder.is_relative_to(path):
        raise ValueError(
            f"--out {out} lies in the --{name} {source.path}, where the next run would take its "
            "pictures for labels; choose another"
        )


def add_held_out_arguments(
    parser: argparse.ArgumentParser, *, what: str, scores: str, limit: str
) -> None:
    """Add --json, --data, --weights, --device and --limit to a parser.

    what: is scored; scores: is written to the JSON file; limit: says what --limit N takes.
    """
    parser.add_argument("--json", type=Path, metavar="OUT", help=f"write {scores}")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data/town"),
        metavar="DIR",
        help=f"folder of {what}, rendered into it where missing (default: data/town)",
    )
    parser.add_argument("--weights", default="town", help="model name or file (default: town)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--limit", type=positive, metavar="N", help=limit)
