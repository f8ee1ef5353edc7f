"""Render many seeds to disk, in parallel processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import cv2

from panoptic_ros.cores import usable_cores
from panoptic_ros.synthetic.world import World, weather_of
from panoptic_ros.synthetic.writer import former_frame, write_frame


@dataclass(frozen=True)
class Job:
    """Describe what to render: frames 0, stride, 2 * stride, ... of each seed's drive at 10 Hz.

    bag: write ROOT/SPLIT/SETTING_SEED as a rosbag2 instead of files; camera: front or rear;
    setting: town or highway; weather: day, rain, night or any.
    """

    root: Path
    split: str
    size: tuple[int, int]
    frames: int
    stride: int
    bag: bool = False
    camera: str = "front"
    setting: str = "town"
    weather: str = "day"


def render_seed(job: Job, seed: int) -> int:
    """Render one seed's frames to disk; return their number."""
    town = World(seed, job.size, job.camera, job.setting, job.weather)
    frames = (town.frame(k * job.stride) for k in range(job.frames))
    if job.bag:
        # Here, so that files need no rosbags.
        from panoptic_ros.synthetic.town_bag import DriveBag

        with DriveBag(_bag(job, seed), town) as bag:
            for frame in frames:
                bag.add(frame)
    else:
        for frame in frames:
            write_frame(job.root, job.split, town, frame)
    town.close()
    return job.frames


def generate(job: Job, seeds: Sequence[int], workers: int) -> Iterator[int]:
    """Render seeds in a number of processes; yield the number of frames of each seed done.

    Raise FileExistsError, before any is rendered, where the bag of one is there, or frames of
    one in another size or weather; ChildProcessError where a process is killed.
    """
    there = [_bag(job, seed) for seed in seeds if job.bag and _bag(job, seed).exists()]
    if there:
        raise FileExistsError(
            f"{there[0]} exists ({len(there)} of {len(seeds)} bags do); remove it, or choose other "
            "seeds by --first-seed and --count"
        )
    if not job.bag:
        _check_former(job, seeds)
    if workers == 1:
        for seed in seeds:
            yield render_seed(job, seed)
        return
    # OpenGL contexts do not survive a fork.
    context = multiprocessing.get_context("spawn")
    # More than there are cores gain nothing, and thousands would take the machine.
    processes = min(workers, usable_cores())
    # distributed's workers would load torch into each.
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(processes, context, _begin) as pool:
        try:
            for done in as_completed([pool.submit(render_seed, job, seed) for seed in seeds]):
                yield done.result()
        except BrokenProcessPool as error:
            raise ChildProcessError(
                f"one of {processes} processes that render was killed, as the system does where "
                "memory is short: choose fewer --workers"
            ) from error
        finally:
            # Nobody waits for what is left of them after an error or Ctrl-C.
            for process in set(multiprocessing.active_children()) - others:
                process.kill()


def _check_former(job: Job, seeds: Sequence[int]) -> None:
    others = []
    for seed in seeds:
        new = list(job.size), weather_of(seed, job.weather)
        for k in range(job.frames):
            found = former_frame(job.root, job.split, job.setting, seed, k * job.stride)
            if found and found[1:] != new:
                others.append((found, new))
    if others:
        (path, *old), new = others[0]
        was, wanted = (f"{'x'.join(map(str, size))}, {weather}" for size, weather in (old, new))
        raise FileExistsError(
            f"{path} is of a frame of {was}; it would become {wanted} ({len(others)} of "
            f"{len(seeds) * job.frames} frames would change): choose another folder, split or "
            "seeds, or remove those frames"
        )


def _bag(job: Job, seed: int) -> Path:
    return job.root / job.split / f"{job.setting}_{seed:06d}"


def _begin() -> None:
    # Ctrl-C in a terminal goes to all processes; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Each process has one core: more threads would only compete. llvmpipe reads
    # its number when the first OpenGL context is made.
    cv2.setNumThreads(1)
    os.environ.setdefault("LP_NUM_THREADS", "1")
