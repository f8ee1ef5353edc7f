"""Replay live: player, node and evaluator as processes, over ROS and against the clock."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from panoptic_ros.bags import COMPRESSED
from panoptic_ros.demo.interrupt import EXIT_SIGNAL, interruptible
from panoptic_ros.demo.processes import Children, DemoError
from panoptic_ros.demo.surroundings import private_environment, require_ros, ros_arguments
from panoptic_ros.replay.ground_views import node_inputs
from panoptic_ros.replay.live_score import report_text
from panoptic_ros.replay.source import BagSource, is_ros_name
from panoptic_ros.whole_files import write_json

REPORT = "live.json"
_START_SECONDS = 90.0
# Longer than a frame takes on a slow CPU.
_SETTLE_SECONDS = 30.0
# Of a bag with stamps that several frames have: which one is answered is not known.
_QUIET_SECONDS = 5.0
_EXIT_BROKEN = 1


@dataclass
class _Progress:
    """Hold what the processes have reported; stamps in nanoseconds."""

    is_ready: bool = False
    is_played: bool = False
    frames: int = 0
    published: list[int] = field(default_factory=list)
    answered: Counter[int] = field(default_factory=Counter)
    newest: float = 0.0
    problems: list[str] = field(default_factory=list)

    def add(self, event: dict[str, Any]) -> None:
        """Take in an event; raise DemoError where a process says that it failed."""
        kind = event["event"]
        self.newest = time.monotonic()
        if kind == "ready":
            self.is_ready = True
        elif kind == "failed":
            raise DemoError(event["reason"])
        elif kind == "playing":
            self.frames = event["frames"]
        elif kind == "published":
            self.published.append(event["stamp_ns"])
        elif kind == "answered":
            self.answered[event["stamp_ns"]] += 1
        elif kind == "played":
            self.is_played, self.problems = True, event["problems"]

    def is_settled(self) -> bool:
        """Whether the last frame is answered: the node never drops the newest."""
        if not self.is_played or not self.published:
            return self.is_played
        last = self.published[-1]
        if self.answered[last] >= self.published.count(last):
            return True
        is_quiet = time.monotonic() - self.newest > _QUIET_SECONDS
        return is_quiet and self.answered[last] > 0


def run_live(args: argparse.Namespace) -> int:
    """Replay, print the tables, write OUT/live.json; return 1 where something broke,
    130 after SIGINT.

    args: of the command `replay`. Raise FileNotFoundError or ValueError for a bag or a topic
    that is not there.
    """
    camera, evaluator, node = _arguments(args)
    report = args.out / REPORT
    progress = _Progress()
    with interruptible() as stopped:
        try:
            require_ros()
            report.unlink(missing_ok=True)
            with Children(args.out, private_environment()) as children:
                children.start(
                    "evaluator", "panoptic_ros.ros.replay.evaluator", *evaluator, reports=True
                )
                children.start("node", "panoptic_ros.ros.node", *node)
                _play(args, camera, children, progress, stopped)
            # The evaluator has reported at its end.
            results = _results(args, camera, report, progress)
        except DemoError as error:
            report.unlink(missing_ok=True)
            print(f"panoptic: error: {error}", file=sys.stderr)
            return EXIT_SIGNAL + stopped[0] if stopped else _EXIT_BROKEN
    if stopped:
        results["problems"].append("interrupted")
    write_json(report, results)
    print(report_text(results))
    print(f"Written: {report}")
    for problem in results["problems"]:
        print(f"broken: {problem}", file=sys.stderr)
    if stopped:
        return EXIT_SIGNAL + stopped[0]
    return _EXIT_BROKEN if results["problems"] else 0


def _arguments(args: argparse.Namespace) -> tuple[str, list[str], list[str]]:
    """Return the camera's topic, and the arguments of evaluator and node.

    Raise as `run_live`.
    """
    with BagSource(args.bag, args.topic, args.truth_topic) as source:
        camera = source.camera
        if camera is None:
            raise ValueError(source.problems[-1])
        if not is_ros_name(camera):
            raise ValueError(
                f"{camera!r} cannot be played, as ROS 2 has no topics of such names; replay the "
                "bag without --live"
            )
        inputs = zip(("camera_info", "odom"), node_inputs(source.bag, camera), strict=True)
        is_compressed = source.bag.kinds[camera] == COMPRESSED
    evaluator = {
        "bag": args.bag.resolve(),
        "image_topic": camera,
        "report_file": (args.out / REPORT).resolve(),
        # This process knows when the end has come.
        "idle_timeout": 0.0,
        **({"truth_topic": source.truth} if source.truth else {}),
    }
    node = {
        "weights": args.weights,
        "device": args.device,
        "image_transport": "compressed" if is_compressed else "raw",
        "qos.reliability": "reliable",
        **({"fusion": args.fusion} if args.fusion else {}),
    }
    remaps = {"image": camera}
    remaps |= {name: topic for name, topic in inputs if topic and is_ros_name(topic)}
    return camera, ros_arguments(evaluator), ros_arguments(node, remaps)


def _play(
    args: argparse.Namespace,
    camera: str,
    children: Children,
    progress: _Progress,
    stopped: list[int],
) -> None:
    """Play the bag once the node is active, until its last frame is answered."""
    end = time.monotonic() + _START_SECONDS
    while not (progress.is_ready or stopped):
        _take_in(children, progress)
        if time.monotonic() > end:
            raise DemoError(f"the node was not active after {_START_SECONDS:.0f} s")
    play = [str(args.bag.resolve()), "--topic", camera, "--rate", str(args.rate)]
    play += ["--wait-for", "panoptic", "replay_evaluator"]
    if not stopped:
        children.start("player", "panoptic_ros.ros.replay.player", *play, reports=True)
        _watch(children, progress, stopped)


def _watch(children: Children, progress: _Progress, stopped: list[int]) -> None:
    """Show a progress bar until the bag has ended and its last frame is answered."""
    end = None
    with tqdm(desc="playing", unit="frame", disable=not sys.stdout.isatty()) as bar:
        while not (progress.is_settled() or stopped) and (end is None or time.monotonic() < end):
            _take_in(children, progress)
            bar.total = progress.frames
            bar.set_postfix(answered=progress.answered.total(), refresh=False)
            bar.update(len(progress.published) - bar.n)
            if progress.is_played and end is None:
                end = time.monotonic() + _SETTLE_SECONDS


def _take_in(children: Children, progress: _Progress) -> None:
    for event in children.events(timeout=0.2):
        progress.add(event)


def _results(
    args: argparse.Namespace, camera: str, report: Path, progress: _Progress
) -> dict[str, Any]:
    """Return the evaluator's report, with what was played."""
    if not report.exists():
        raise DemoError(f"the evaluator has not reported; see {args.out / 'evaluator.log'}")
    results = json.loads(report.read_text(encoding="utf-8"))
    problems = [*results["problems"]]
    if not results["frames"]["answered"]:
        problems.append(f"no frame was answered; see {args.out / 'node.log'}")
    # Evaluator and player have read the same bag.
    problems = list(dict.fromkeys([*problems, *progress.problems]))
    played = {"bag": str(args.bag), "topic": camera, "weights": args.weights, "rate": args.rate}
    return {**played, **results, "problems": problems}
