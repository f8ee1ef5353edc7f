"""`evaluate --dataset NAME`: score a model on a data set."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panoptic_ros.cli import (
    absolute_if_file,
    add_cluster_arguments,
    add_rerun_argument,
    count,
    going_on,
    positive,
    recording,
)

if TYPE_CHECKING:
    from panoptic_ros.distributed import Workers
    from panoptic_ros.evaluation.dataset_run import RunOptions

EXIT_BROKEN_FILES = 1
EXIT_CANNOT_RUN = 2
# Those of datasets.exports, which is imported when they are written.
EXPORT_FORMATS = ("coco", "cityscapes_panoptic", "cityscapes_instances", "kitti", "fiftyone")
BOUNDARY_HELP = "boundary PQ, too; it takes longer than all other scores"
# What stands beside a report, at times.
_LINKS = {
    "results.json": "results.json",
    "predictions": "predictions/",
    "exports": "exports/",
    "pictures": "pictures/",
}
_REQUIRED = ("dataset", "data", "out")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate` without a sub-command to its parser."""
    parser.add_argument(
        "--dataset", metavar="NAME", help="cityscapes, kitti, coco_panoptic or town"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="the data set's folder")
    parser.add_argument("--split", help="default: val; kitti training, coco_panoptic val2017")
    parser.add_argument("--weights", default="town", help="model name or file (default: town)")
    parser.add_argument(
        "--fusion",
        nargs="+",
        default=[],
        metavar="NAME",
        help="merging strategies, one or several, or all; the networks run once (default: stack, "
        "and what the model's head is for)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--workers", type=count, default=2, metavar="N", help="threads that read (default: 2)"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="first N frames only")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--predictions", action="store_true", help="write label images as COCO-panoptic files"
    )
    parser.add_argument("--boundary", action="store_true", help=BOUNDARY_HELP)
    add_export_argument(parser)
    add_rerun_argument(parser)
    add_cluster_arguments(parser)
    parser.set_defaults(refuse=parser.error)


def add_export_argument(parser: argparse.ArgumentParser) -> None:
    """Add --export to a parser."""
    parser.add_argument(
        "--export",
        nargs="+",
        default=[],
        choices=EXPORT_FORMATS,
        metavar="FORMAT",
        help=f"also write OUT/exports/FORMAT, for upload: {', '.join(EXPORT_FORMATS)}",
    )


def run(args: argparse.Namespace) -> int:
    """Score, print the tables, write results and report; return 1 if a frame was broken.

    2: nothing could be scored, or what scoring needs is not installed.
    """
    missing = [f"--{name}" for name in _REQUIRED if getattr(args, name) is None]
    if missing:
        args.refuse(f"the following arguments are required: {', '.join(missing)}")
    if args.rerun and args.ray:
        args.refuse("--rerun records what is scored here, without --ray")
    from panoptic_ros.evaluation.dataset_run import DatasetRun, RunOptions
    from panoptic_ros.evaluation.report.tables import print_tables

    known = {field.name for field in dataclasses.fields(RunOptions)}
    options = {name: value for name, value in vars(args).items() if name in known}
    options["fusion"] = tuple(dict.fromkeys(args.fusion))
    options["export"] = tuple(dict.fromkeys(args.export))
    run_options = RunOptions(**options)
    # What gathers on a cluster may lack the GPU that its workers have.
    evaluation = DatasetRun(replace(run_options, device="cpu") if args.ray else run_options)
    if evaluation.dataset.mapped_to_void:
        names = ", ".join(evaluation.dataset.mapped_to_void)
        print(f"categories without a class in the model, counted as void: {names}", file=sys.stderr)
    name = f"{args.dataset} {args.out.name}"
    with going_on(args.out), recording(args.rerun, name, evaluation.labels) as log:
        workers, number = _workers(args, run_options)
        outcome = evaluation(workers, number, log)
    print_tables(outcome.results)
    write_page(outcome.results, args.out)
    if outcome.broken:
        print(f"{len(outcome.broken)} broken frames were skipped", file=sys.stderr)
    if all(f["panoptic"]["all"]["pq"] is None for f in outcome.results["fusion"].values()):
        print(
            f"nothing could be scored: {len(evaluation.dataset)} frames of {args.data} are broken "
            "or all void",
            file=sys.stderr,
        )
        return EXIT_CANNOT_RUN
    return EXIT_BROKEN_FILES if outcome.broken else 0


def write_page(results: Mapping[str, Any], out: Path) -> None:
    """Write OUT/report.html beside the results, with links to what else is there, and say so."""
    from panoptic_ros.evaluation.report.page import write_report

    links = {text: path for text, path in _LINKS.items() if (out / path).exists()}
    write_report({**results, "links": links}, [], out / "report.html")
    print(f"Written: {out / 'results.json'}, {out / 'report.html'}")


def _workers(args: argparse.Namespace, options: RunOptions) -> tuple[Workers | None, int]:
    """Return a cluster's workers and their number, None where the frames are scored here."""
    if not args.ray:
        return None, 1
    from panoptic_ros.distributed.ray_cluster import RayWorkers
    from panoptic_ros.evaluation.dataset_run import ShardScorer

    # A worker is in a folder of its own.
    load = ShardScorer(
        replace(
            options,
            data=options.data.absolute(),
            out=options.out.absolute(),
            weights=absolute_if_file(options.weights),
        )
    )
    workers = RayWorkers(args.ray, load, 0.0 if args.device == "cpu" else args.gpus_per_worker)
    return workers, workers.capacity
