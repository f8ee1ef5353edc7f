"""Replay rosbag2 recordings through the pipeline."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from panoptic_ros.cli import (
    absolute_if_file,
    add_cluster_arguments,
    add_rerun_argument,
    positive,
    recording,
)
from panoptic_ros.demo.interrupt import EXIT_SIGNAL, interruptible

if TYPE_CHECKING:
    from panoptic_ros.distributed import Event, Loader, Workers
    from panoptic_ros.replay.archive import ReplayOptions

HELP = "run a bag's camera frames through the pipeline, write a bag, score it"
EXIT_BROKEN = 1
_SLOWEST, _FASTEST = 0.001, 1000
# Lines on stderr; results.json has all.
MOST_LINES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "bags", type=Path, nargs="+", metavar="BAG", help="a rosbag2: folder, .mcap or .db3"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--topic", help="camera topic (default: the bag's only one)")
    parser.add_argument("--truth-topic", help="label images to score with (default: the town's)")
    parser.add_argument("--weights", default="town", help="model name or file (default: town)")
    parser.add_argument("--fusion", help="stack or conv_head (default: the model's)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--keep", action="store_true", help="copy all topics of BAG into the output bag"
    )
    parser.add_argument(
        "--live", action="store_true", help="play in real time to a node of its own, over ROS"
    )
    parser.add_argument("--rate", type=_rate, help="with --live: how fast to play (default: 1)")
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="bags at once, each with a model of its own (default: one per GPU or four cores; "
        "with --ray as many as the cluster has room for)",
    )
    add_rerun_argument(parser)
    add_cluster_arguments(parser)
    parser.set_defaults(refuse=parser.error)


def run(args: argparse.Namespace) -> int:
    """Replay; return 1 where a bag was broken or a frame was refused, 130 after SIGINT."""
    is_archive = len(args.bags) > 1 or args.workers or args.ray
    if args.rerun and (is_archive or args.live):
        args.refuse("--rerun records one bag, without --live, --workers and --ray")
    if args.live:
        if is_archive:
            args.refuse("--live plays one bag, without --workers and --ray")
        if args.keep:
            args.refuse("--live writes no bag, so that there is none for --keep to copy into")
        from panoptic_ros.replay.live import run_live

        args.bag, args.rate = args.bags[0], args.rate or 1.0
        return run_live(args)
    if args.rate is not None:
        args.refuse("--rate is how fast --live plays; without it every frame is processed")
    from panoptic_ros.replay.archive import ReplayOptions

    weights = absolute_if_file(args.weights)
    options = ReplayOptions(
        weights, args.fusion, args.device, args.topic, args.truth_topic, args.keep
    )
    if is_archive:
        return _replay_archive(args, options)
    return _replay_bag(args.bags[0], args.out, options, args.rerun)


def _replay_bag(bag: Path, out: Path, options: ReplayOptions, rerun: Path | None) -> int:
    from panoptic_ros.evaluation.report.tables import print_tables
    from panoptic_ros.pipeline import PanopticPipeline
    from panoptic_ros.replay.offline import BAG, Replay
    from panoptic_ros.replay.replay_results import REPORT, RESULTS, write_replay

    pipeline = PanopticPipeline.load(options.weights, device=options.device, fusion=options.fusion)
    replay = Replay(pipeline, bag, out, options.topic, options.truth_topic, keep=options.keep)
    with recording(rerun, bag.name, pipeline.labels) as log:
        outcome = replay(log)
        results = write_replay(outcome, pipeline, bag, replay.source.camera, out)
    print_tables(results)
    done = results["replay"]
    print(
        f"{done['frames']} frames: {done['answered']} answered, {done['refused']} refused, "
        f"{done['scored']} scored"
    )
    print(f"Written: {out / BAG}, {out / RESULTS}, {out / REPORT}")
    _tell("note", outcome.notes)
    _tell("broken", outcome.problems)
    if outcome.signal:
        print("interrupted; the bag is complete up to there", file=sys.stderr)
        return EXIT_SIGNAL + outcome.signal
    return EXIT_BROKEN if outcome.problems else 0


def _replay_archive(args: argparse.Namespace, options: ReplayOptions) -> int:
    from panoptic_ros.evaluation.report.tables import print_tables
    from panoptic_ros.replay.archive import INDEX, Archive, BagReplayer, bag_table
    from panoptic_ros.replay.replay_results import RESULTS

    archive = Archive.open(args.bags, args.out.absolute(), options)
    is_done = len(archive.done) == len(archive.jobs)
    cluster = () if is_done else _workers(args, BagReplayer(options))
    with interruptible() as stopped:
        if cluster:
            workers, count = cluster
            with closing(_ArchiveProgress(len(archive.jobs), len(archive.done))) as progress:
                archive.replay(workers, count, progress.show, stopped)
        results = archive.write()
    print_tables(results)
    print(f"\n{bag_table(results['bags']).to_text()}\n")
    print(f"Written: {args.out / RESULTS}, {args.out / INDEX}, a folder per bag")
    for name, lines in archive.problems.items():
        more = f" (and {len(lines) - 1} more, see {args.out / name / RESULTS})"
        print(f"broken: {name}: {lines[0]}{more if len(lines) > 1 else ''}", file=sys.stderr)
    if stopped:
        print(
            f"interrupted; {len(archive.done)} of {len(archive.jobs)} bags are done: the same "
            "command goes on with the others",
            file=sys.stderr,
        )
        return EXIT_SIGNAL + stopped[0]
    return EXIT_BROKEN if archive.problems else 0


class _ArchiveProgress:
    """Show events of `run_jobs` on stderr: a bar for the whole, and one for each bag in work.

    Where that is no terminal: a line per bag.
    """

    def __init__(self, bags: int, done: int) -> None:
        self._whole = tqdm(total=bags, initial=done, desc="replaying", unit="bag")
        self._bars: dict[str, tqdm] = {}
        self._frames = 0

    def close(self) -> None:
        """Take the bars away."""
        for bar in self._bars.values():
            bar.close()
        self._whole.close()

    def show(self, event: Event) -> None:
        """Show what became of a bag."""
        if event.kind == "progress":
            self._advance(event.of, *event.content)
            return
        bar = self._bars.pop(event.of, None)
        if bar is not None:
            bar.close()
        if event.kind == "died":
            self._say(f"{event.of}: taken up again, {event.content}")
            return
        if event.kind == "done":
            replay = event.content["replay"]
            self._frames += replay["frames"]
            problems = f", {len(replay['problems'])} problems" if replay["problems"] else ""
            self._say(f"{event.of}: {replay['frames']} frames{problems}")
        else:
            self._say(f"{event.of}: broken: {event.content}")
        seconds = self._whole.format_dict["elapsed"]
        self._whole.set_postfix_str(f"{self._frames / max(seconds, 1e-9):.1f} frames/s", False)
        self._whole.update()

    def _advance(self, name: str, done: int, of: int) -> None:
        if name not in self._bars:
            # None: no bars that move where there is no terminal.
            self._bars[name] = tqdm(desc=name, unit="frame", leave=False, disable=None)
        bar = self._bars[name]
        bar.total = of
        bar.update(done - bar.n)

    def _say(self, text: str) -> None:
        self._whole.write(text, file=sys.stderr)


def _workers(args: argparse.Namespace, load: Loader) -> tuple[Workers, int]:
    """Return where bags are replayed, and how many at once."""
    gpus = 0.0 if args.device == "cpu" else args.gpus_per_worker
    if args.ray:
        from panoptic_ros.distributed.ray_cluster import RayWorkers

        cluster = RayWorkers(args.ray, load, gpus)
        return cluster, args.workers or cluster.capacity
    from panoptic_ros.distributed.process_workers import ProcessWorkers, default_count, gpu_share

    # cuda:1, say, is a GPU that all of them share.
    share = gpu_share(gpus) if args.device in ("auto", "cuda", "cpu") else 0.0
    count = args.workers or default_count(share)
    return ProcessWorkers(load, count, share), count


def _tell(what: str, lines: list[str]) -> None:
    for line in lines[:MOST_LINES]:
        print(f"{what}: {line}", file=sys.stderr)
    if len(lines) > MOST_LINES:
        print(f"{what}: {len(lines) - MOST_LINES} more, see results.json", file=sys.stderr)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no number") from None
    # Below, a pause of a bag lasts for days; infinity is no JSON.
    if not _SLOWEST <= rate <= _FASTEST:
        raise argparse.ArgumentTypeError(f"{text} is not between {_SLOWEST} and {_FASTEST}")
    return rate
