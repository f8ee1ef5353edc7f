"""Replay live: player, node and evaluator as processes, over ROS and against the clock."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from panoptic_ros.demo.processes import Children, DemoError
from panoptic_ros.demo.surroundings import private_environment, require_ros, sigterm_as_exit
from panoptic_ros.replay.live_report import report_text
from panoptic_ros.replay.source import CAMERA_INFO, ODOMETRY, BagSource
from panoptic_ros.replay.topics import COMPRESSED

REPORT = "live.json"
_START_SECONDS = 90.0
# A frame on a slow machine's CPU, and then some.
_SETTLE_SECONDS = 30.0
_EXIT_BROKEN = 1
_EXIT_INTERRUPTED = 130


@dataclass
class _Progress:
    """Hold what the processes have reported; stamps in nanoseconds."""

    is_ready: bool = False
    is_played: bool = False
    frames: int = 0
    published: list[int] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def add(self, event: dict[str, Any]) -> None:
        """Take in an event; raise DemoError where a process says that it failed."""
        kind = event["event"]
        if kind == "ready":
            self.is_ready = True
        elif kind == "failed":
            raise DemoError(event["reason"])
        elif kind == "playing":
            self.frames = event["frames"]
        elif kind == "published":
            self.published.append(event["stamp_ns"])
        elif kind == "answered":
            self.answered.add(event["stamp_ns"])
        elif kind == "played":
            self.is_played, self.problems = True, event["problems"]

    def is_settled(self) -> bool:
        """Whether the last frame is answered: the node never drops the newest."""
        return self.is_played and (not self.published or self.published[-1] in self.answered)


def run_live(args: argparse.Namespace) -> int:
    """Replay, print the tables, write OUT/live.json; return 1 where something broke,
    130 after SIGINT.

    args: of the command `replay`. Raise FileNotFoundError or ValueError for a bag or a topic
    that is not there.
    """
    with BagSource(args.bag, args.topic, args.truth_topic) as source:
        if source.camera is None:
            raise ValueError(source.problems[-1])
        kinds, camera, truth = source.kinds, source.camera, source.truth
    args.out.mkdir(parents=True, exist_ok=True)
    report = args.out / REPORT
    report.unlink(missing_ok=True)
    progress, code = _Progress(), 0
    try:
        require_ros()
        try:
            _play(args, kinds, camera, truth, progress)
        except KeyboardInterrupt:
            # The evaluator reports what there was until then.
            code = _EXIT_INTERRUPTED
            progress.problems.append("interrupted")
        results = _results(args, camera, report, progress)
    except DemoError as error:
        report.unlink(missing_ok=True)
        print(f"panoptic: error: {error}", file=sys.stderr)
        return code or _EXIT_BROKEN
    report.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(report_text(results))
    print(f"Written: {report}")
    for problem in results["problems"]:
        print(f"broken: {problem}", file=sys.stderr)
    return code or (_EXIT_BROKEN if results["problems"] else 0)


def _play(
    args: argparse.Namespace,
    kinds: dict[str, str],
    camera: str,
    truth: str | None,
    progress: _Progress,
) -> None:
    """Run the processes until the last frame is answered; the evaluator reports when ended."""
    transport = "compressed" if kinds[camera] == COMPRESSED else "raw"
    with sigterm_as_exit(), Children(args.out, private_environment()) as children:
        evaluator = {
            "bag": args.bag.resolve(),
            "image_topic": camera,
            "report_file": (args.out / REPORT).resolve(),
            # This process knows when the end has come.
            "idle_timeout": 0.0,
            **({"truth_topic": truth} if truth else {}),
        }
        children.start(
            "evaluator", "panoptic_ros.ros.replay.evaluator", *_ros(evaluator), reports=True
        )
        node = {
            "weights": args.weights,
            "device": args.device,
            "image_transport": transport,
            "qos.reliability": "reliable",
            **({"fusion": args.fusion} if args.fusion else {}),
        }
        remaps = {"image": camera, **_inputs(kinds, camera)}
        children.start("node", "panoptic_ros.ros.node", *_ros(node, remaps))
        _wait_until_ready(children, progress)
        play = [str(args.bag), "--topic", camera, "--rate", str(args.rate)]
        play += ["--wait-for", "panoptic", "replay_evaluator"]
        children.start("player", "panoptic_ros.ros.replay.player", *play, reports=True)
        _watch(children, progress)


def _inputs(kinds: dict[str, str], camera: str) -> dict[str, str]:
    """Return the node's other topics: the camera's calibration and the only odometry."""
    folder = camera.split("/image")[0]
    infos = [t for t, kind in kinds.items() if kind == CAMERA_INFO]
    beside = [t for t in infos if t.startswith(folder + "/")] or infos
    odometry = [t for t, kind in kinds.items() if kind == ODOMETRY]
    found = {"camera_info": beside, "odom": odometry}
    return {name: topics[0] for name, topics in found.items() if len(topics) == 1}


def _ros(parameters: dict[str, Any], remaps: dict[str, str] | None = None) -> list[str]:
    settings = [text for k, v in parameters.items() for text in ("-p", f"{k}:={v}")]
    moved = [text for k, v in (remaps or {}).items() for text in ("-r", f"{k}:={v}")]
    return ["--ros-args", *settings, *moved]


def _wait_until_ready(children: Children, progress: _Progress) -> None:
    end = time.monotonic() + _START_SECONDS
    while not progress.is_ready:
        _take_in(children, progress)
        if time.monotonic() > end:
            raise DemoError(f"the node was not active after {_START_SECONDS:.0f} s")


def _watch(children: Children, progress: _Progress) -> None:
    """Show a progress bar until the bag has ended and its last frame is answered."""
    end = None
    with tqdm(desc="playing", unit="frame", disable=not sys.stdout.isatty()) as bar:
        while not progress.is_settled() and (end is None or time.monotonic() < end):
            _take_in(children, progress)
            bar.total = progress.frames
            bar.set_postfix(answered=len(progress.answered), refresh=False)
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
    problems += progress.problems
    played = {"bag": str(args.bag), "topic": camera, "weights": args.weights, "rate": args.rate}
    return {**played, **results, "problems": problems}
