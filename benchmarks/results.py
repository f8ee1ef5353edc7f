"""What a bench gives, and the one way in which all of them take times."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    threads, others = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    times = dict.fromkeys(functions, math.inf)
    try:
        for _ in range(repeats + 1):
            for name, function in functions.items():
                start = time.process_time()
                function()
                times[name] = min(times[name], (time.process_time() - start) * 1e3)
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(others)
    return times


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
