"""Replay a rosbag2 through the pipeline."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "run a bag's camera frames through the pipeline, write a bag, score it"
EXIT_BROKEN = 1
# As shells do: 130 after SIGINT, 143 after SIGTERM.
EXIT_SIGNAL = 128
# Lines on stderr; results.json has all.
MOST_LINES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="a rosbag2: folder, .mcap or .db3")
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
    parser.add_argument(
        "--rate", type=_rate, default=1.0, help="with --live: how fast to play (default: 1)"
    )


def run(args: argparse.Namespace) -> int:
    """Replay; return 1 where the bag was broken or a frame was refused, 130 after SIGINT."""
    if args.live:
        from panoptic_ros.replay.live import run_live

        return run_live(args)
    from panoptic_ros.evaluation.report.page import write_report
    from panoptic_ros.evaluation.report.tables import print_tables
    from panoptic_ros.pipeline import PanopticPipeline
    from panoptic_ros.replay.offline import BAG, Replay
    from panoptic_ros.replay.replay_results import replay_results
    from panoptic_ros.whole_files import write_json

    pipeline = PanopticPipeline.load(args.weights, device=args.device, fusion=args.fusion)
    replay = Replay(pipeline, args.bag, args.out, args.topic, args.truth_topic, keep=args.keep)
    outcome = replay()
    results = replay_results(outcome, pipeline, args.bag, replay.source.camera)
    write_json(args.out / "results.json", results)
    write_report(
        {"title": f"Replay of {args.bag}", **results}, outcome.shown, args.out / "report.html"
    )
    print_tables(results)
    done = results["replay"]
    print(
        f"{done['frames']} frames: {done['answered']} answered, {done['refused']} refused, "
        f"{done['scored']} scored"
    )
    print(f"Written: {args.out / BAG}, {args.out / 'results.json'}, {args.out / 'report.html'}")
    _tell("note", outcome.notes)
    _tell("broken", outcome.problems)
    if outcome.signal:
        print("interrupted; the bag is complete up to there", file=sys.stderr)
        return EXIT_SIGNAL + outcome.signal
    return EXIT_BROKEN if outcome.problems else 0


def _tell(what: str, lines: list[str]) -> None:
    for line in lines[:MOST_LINES]:
        print(f"{what}: {line}", file=sys.stderr)
    if len(lines) > MOST_LINES:
        print(f"{what}: {len(lines) - MOST_LINES} more, see results.json", file=sys.stderr)


def _rate(text: str) -> float:
    rate = float(text)
    if not rate > 0:
        raise argparse.ArgumentTypeError(f"{text} must be above 0")
    return rate
