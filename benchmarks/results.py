"""What a bench gives, and the one way in which all of them take times."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch


@dataclass(frozen=True)
class Result:
    """Hold one figure; milliseconds: the absolute times behind it; about: what was measured.

    goal: None where there is none.
    """

    name: str
    value: float
    unit: str
    goal: float | None
    higher_is_better: bool
    milliseconds: Mapping[str, float]
    about: str

    @property
    def meets_goal(self) -> bool:
        """Whether the figure is as good as its goal, or better."""
        if self.goal is None:
            return True
        return self.value >= self.goal if self.higher_is_better else self.value <= self.goal


def faster(
    name: str, times: Mapping[str, float], slow: str, fast: str, goal: float | None, about: str
) -> Result:
    """Return how many times faster one of some functions is than another; times: milliseconds."""
    return Result(name, times[slow] / times[fast], "times faster", goal, True, times, about)


def on_cpu(goal: float, device: torch.device) -> float | None:
    """Return a goal that counts on a CPU; a GPU is idle most of such a frame, and has none."""
    return goal if device.type == "cpu" else None


def interleaved(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median milliseconds of each function, all called in turn `repeats` times.

    In turn, so that whatever else the machine does meets all of them alike. Each is called
    once before, unmeasured.
    """
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            _synchronize()
            start = time.perf_counter()
            function()
            _synchronize()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def least_on_one_core(
    functions: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, float]:
    """Return the least milliseconds of CPU time of each function, called in turn on one thread.

    What else the machine does adds to a time and takes nothing away.
    """
    times = dict.fromkeys(functions, math.inf)
    with one_core():
        for _ in range(repeats + 1):
            for name, function in functions.items():
                start = time.process_time()
                function()
                times[name] = min(times[name], (time.process_time() - start) * 1e3)
    return times


@contextmanager
def one_core() -> Iterator[None]:
    """Let torch and OpenCV compute in one thread."""
    threads, others = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(others)


def resident_mib(process: int | str = "self") -> float:
    """Return what a process, by its number, has in memory, MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
