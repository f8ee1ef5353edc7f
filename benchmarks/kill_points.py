"""Kill training, evaluation, replay and the fetching of weights at random moments with SIGKILL.

    python benchmarks/kill_points.py --points 30 --seed 7

Each runs once undisturbed. Then, in turn, it is killed after a random share of that time and
looked at: whatever is on the disk can be read, and at most one interval (a checkpoint's steps, a
frame, a chunk of a download) of what was done is missing. The same command again must end as the
undisturbed one did: same weights and losses, same scores, same labels. Exit code 1 where not.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

# Before torch: no GPU's context and no pool of threads, neither of which survives a fork.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test" / "helpers"))

import cv2
import made_bags
import street_files
import torch
import toy
from http_site import Site, serving
from rosbags.rosbag2 import StoragePlugin

from panoptic_ros import checkpoints
from panoptic_ros.__main__ import main as panoptic_ros
from panoptic_ros.bags import BagReader
from panoptic_ros.checkpoints import download, places
from panoptic_ros.evaluation.report.page import write_report
from panoptic_ros.evaluation.run_state import RunState
from panoptic_ros.networks import build
from panoptic_ros.replay.output import NODE, PanopticBag
from panoptic_ros.training import runs
from panoptic_ros.training.logs import TrainingLog
from panoptic_ros.training.train_state import load_state

# Imported here for the children, which are forks: a command imports them when it begins.
_WARM = (runs, write_report)
FORK = multiprocessing.get_context("fork")
INTERVAL, STEPS, FRAMES = 2, 8, 8
WEIGHTS = "deeplabv3plus_mobilenetv2_cityscapes"
DONE = FORK.Value("q", 0)


@dataclass(frozen=True)
class Workload:
    """Describe a command and what it must leave.

    arguments: of the command that works in a folder; unit: method whose returns are counted;
    kept: how many of them are on the disk, raises where that cannot be read; interval: how many
    may be missing; result: what must not depend on a kill.
    """

    arguments: Callable[[Path], list[str]]
    unit: tuple[Any, str]
    kept: Callable[[Path], int]
    interval: int
    result: Callable[[Path], Any]


def _training(data: Path) -> Workload:
    settings = {
        "architecture.decoder_channels": 8,
        "augmentation.crop": [64, 64],
        "batch_size": 2,
        "workers": 0,
        "mixed_precision": "no",
        "steps": STEPS,
        "log_interval": 1,
        "validation_frames": 1,
        "checkpoint_interval": INTERVAL,
    }
    overrides = [text for k, v in settings.items() for text in ("--set", f"{k}={v}")]
    command = ["train", "semantic", "--data", str(data), *overrides, "--run"]

    def kept(folder: Path) -> int:
        state = load_state(folder)
        return state["step"] if state else 0

    def result(folder: Path) -> Any:
        network, _ = checkpoints.load(folder / "semantic")
        tensors = [tensor.numpy().tobytes() for tensor in network.state_dict().values()]
        return tensors, (folder / "losses.csv").read_text()

    return Workload(
        lambda folder: [*command, str(folder)], (TrainingLog, "advance"), kept, INTERVAL, result
    )


def _evaluation(data: Path, model: Path) -> Workload:
    command = ["evaluate", "--dataset", "cityscapes", "--data", str(data)]
    command += ["--weights", str(model), "--device", "cpu", "--workers", "0", "--out"]

    def kept(folder: Path) -> int:
        lines = (folder / "frames.jsonl").read_bytes().split(b"\n")[:-1]
        return max(len([json.loads(line) for line in lines]) - 1, 0)

    def result(folder: Path) -> Any:
        results = json.loads((folder / "results.json").read_text())
        return results["fusion"], [(f["name"], f["pq"]) for f in results["frames"]]

    return Workload(lambda folder: [*command, str(folder)], (RunState, "add"), kept, 1, result)


def _replay(bag: Path, model: Path) -> Workload:
    def labels(folder: Path) -> list[bytes]:
        with BagReader(folder / "bag") as written:
            # That it was not closed is told when it is opened.
            known = len(written.problems)
            found = [bytes(m.data) for m in written.messages({f"{NODE}/labels"})]
            if broken := written.problems[known:]:
                raise ValueError("; ".join(broken))
        return found

    return Workload(
        lambda folder: [
            *("replay", str(bag), "--weights", str(model), "--device", "cpu"),
            *("--out", str(folder)),
        ],
        (PanopticBag, "add_placed"),
        lambda folder: len(labels(folder)),
        1,
        labels,
    )


def _weights(url: str) -> Workload:
    def kept(folder: Path) -> int:
        with patch.dict(os.environ, {places.VARIABLE: str(folder)}):
            for name, path in places.installed().items():
                if folder in path.parents:
                    checkpoints.load(path)
                    return sys.maxsize if name == WEIGHTS else 0
        part = next(folder.rglob("*.part"), None)
        whole = next((f for f in folder.glob("downloads/*") if f.suffix != ".part"), None)
        return sys.maxsize if whole else part.stat().st_size // download.CHUNK if part else 0

    def result(folder: Path) -> Any:
        network, _ = checkpoints.load(folder / WEIGHTS)
        left = sorted(f.name for f in folder.rglob("*"))
        return [tensor.numpy().tobytes() for tensor in network.state_dict().values()], left

    return Workload(
        lambda folder: ["weights", "fetch", WEIGHTS, "--url", url],
        (download.tqdm, "update"),
        kept,
        1,
        result,
    )


def _start(workload: Workload, folder: Path) -> Any:
    """Start a workload in a fork of this process; its output goes to FOLDER.log."""

    def child() -> None:
        log = os.open(f"{folder}.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        owner, name = workload.unit
        method = getattr(owner, name)

        def counted(*args: Any, **options: Any) -> Any:
            found = method(*args, **options)
            DONE.value += 1
            return found

        setattr(owner, name, counted)
        with patch.dict(os.environ, {places.VARIABLE: str(folder)}):
            os._exit(panoptic_ros(workload.arguments(folder)))

    DONE.value = 0
    process = FORK.Process(target=child)
    process.start()
    return process


def _run(workload: Workload, folder: Path) -> float:
    """Run a workload to its end; return its seconds."""
    began = time.monotonic()
    process = _start(workload, folder)
    process.join()
    if process.exitcode != 0:
        said = Path(f"{folder}.log").read_text(errors="replace")
        raise ValueError(f"exit code {process.exitcode}: {said[-2000:]}")
    return time.monotonic() - began


def _kill(workload: Workload, folder: Path, seconds: float) -> int:
    """Kill a workload after some seconds; return how many units it had done."""
    process = _start(workload, folder)
    process.join(seconds)
    process.kill()
    process.join()
    return int(DONE.value)


def _check(name: str, workload: Workload, folder: Path, done: int, expected: Any) -> int:
    """Return how many units the kill cost; raise ValueError where it cost more than it may."""
    kept = workload.kept(folder) if folder.exists() and any(folder.iterdir()) else 0
    lost = max(done - kept, 0)
    if lost > workload.interval:
        raise ValueError(f"{done} units were done, {kept} are left")
    if name == "replay":
        # It begins anew, and overwrites nothing.
        shutil.rmtree(folder, ignore_errors=True)
    _run(workload, folder)
    if workload.result(folder) != expected:
        raise ValueError("the result is not that of an undisturbed run")
    return lost


def _workloads(folder: Path, url: str) -> dict[str, Workload]:
    data = toy.write(folder / "toy", frames=4)
    street_files.write_cityscapes(folder / "street", FRAMES)
    model = street_files.write_model(folder)
    bag = made_bags.drive(folder / "drive", FRAMES, StoragePlugin.MCAP)
    return {
        "training": _training(data),
        "evaluation": _evaluation(folder / "street", model),
        "replay": _replay(bag, model),
        "weights": _weights(url),
    }


def _published() -> bytes:
    """Return the bytes of a file such as the authors of DeepLabV3Plus-Pytorch publish."""
    content = io.BytesIO()
    network = build({"name": "deeplabv3plus_mobilenetv2", "num_classes": 19})
    torch.save({"model_state": network.state_dict(), "cur_itrs": 3, "best_score": 0.5}, content)
    return content.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=30, help="how many kills (default: 30)")
    parser.add_argument("--seed", type=int, help="of an earlier run (default: a random one)")
    args = parser.parse_args()
    seed = secrets.randbelow(2**32) if args.seed is None else args.seed
    rng, failures = random.Random(seed), 0
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory() as place, serving(Site(_published())) as site:
        folder = Path(place)
        workloads = _workloads(folder, site.url)
        undisturbed = {}
        for name in list(workloads)[: args.points]:
            seconds = _run(workloads[name], folder / name)
            undisturbed[name] = seconds, workloads[name].result(folder / name)
        for number in range(args.points):
            name = list(workloads)[number % len(workloads)]
            workload, (seconds, expected) = workloads[name], undisturbed[name]
            after, killed = rng.uniform(0, seconds), folder / f"{name}_{number}"
            done = _kill(workload, killed, after)
            try:
                lost = _check(name, workload, killed, done, expected)
                verdict = f"lost {lost} of at most {workload.interval}, same result"
            except (OSError, ValueError) as error:
                failures += 1
                verdict = f"FAILED: {error}"
            print(
                f"{name:10s} killed after {after:5.2f} of {seconds:5.2f} s, {done:4d} done: "
                f"{verdict}",
                flush=True,
            )
    print(f"{args.points - failures} of {args.points} kills left nothing corrupt")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
