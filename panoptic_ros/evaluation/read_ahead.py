"""Read frames from disk in threads, a few ahead of the networks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from panoptic_ros.datasets import LabeledFrame, load_frame
from panoptic_ros.model.predictors import MIN_SIDE

_AHEAD_PER_WORKER = 2


@dataclass(frozen=True)
class LoadedFrame:
    """Hold a frame in memory: image uint8 [H, W, 3], RGB; truth integer [H, W]."""

    image: np.ndarray
    truth: np.ndarray
    milliseconds: float


def load(frame: LabeledFrame) -> LoadedFrame:
    """Read a frame's image and truth.

    Raise OSError or ValueError that names the file where one is missing, is broken, is too
    small for a network, or the two differ in size.
    """
    start = time.perf_counter()
    image, truth = load_frame(frame)
    if min(truth.shape) < MIN_SIDE:
        raise ValueError(
            f"{frame.image} is {list(truth.shape)} (rows, columns); "
            f"the networks need {MIN_SIDE} at least"
        )
    return LoadedFrame(image, truth, (time.perf_counter() - start) * 1e3)


def read_ahead(
    frames: Iterable[LabeledFrame], workers: int
) -> Iterator[tuple[LabeledFrame, LoadedFrame | Exception]]:
    """Yield each frame in order with its content, or the error that `load` raised.

    workers: threads that read, 0 reads each frame when it is asked for.
    """
    if not workers:
        for frame in frames:
            yield frame, _load_or_error(frame)
        return
    pool = ThreadPoolExecutor(workers)
    waiting: deque = deque()
    try:
        for frame in frames:
            waiting.append((frame, pool.submit(_load_or_error, frame)))
            if len(waiting) > workers * _AHEAD_PER_WORKER:
                first, content = waiting.popleft()
                yield first, content.result()
        for first, content in waiting:
            yield first, content.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _load_or_error(frame: LabeledFrame) -> LoadedFrame | Exception:
    try:
        return load(frame)
    except (OSError, ValueError) as error:
        return error
