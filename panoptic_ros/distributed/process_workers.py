"""Workers that are processes of this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from itertools import count as count_up
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import torch

from panoptic_ros.cores import usable_cores, usable_threads
from panoptic_ros.distributed.jobs import Event, Kind, Loader, words_of

# A network's own threads share few cores well.
_CORES_PER_WORKER = 4
_END_SECONDS = 3.0
_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    connection: Connection
    slot: int


class ProcessWorkers:
    """Run workers as processes, which share this machine's cores, and its GPUs where it has any.

    load: see `Loader`; count: at most so many at once; gpus: share of a GPU that each takes,
    above 0 and at most 1; 0: none.
    """

    def __init__(self, load: Loader, count: int, gpus: float) -> None:
        self._load, self._gpus = load, gpus
        self._threads = min(usable_threads(), max(1, usable_cores() // count))
        self._workers: dict[int, _Worker] = {}
        self._numbers = count_up()

    def start(self) -> None:
        """Start a process; see `Workers`."""
        taken = {worker.slot for worker in self._workers.values()}
        slot = next(i for i in count_up() if i not in taken)
        ours, theirs = get_context("spawn").Pipe()
        process = get_context("spawn").Process(
            target=_serve,
            args=(theirs, self._load, self._threads, visible_gpu(slot, self._gpus)),
            daemon=True,
        )
        process.start()
        theirs.close()
        self._workers[next(self._numbers)] = _Worker(process, ours, slot)

    def give(self, worker: int, job: Any) -> None:
        """Send a job; a process that is gone tells so by its event."""
        with suppress(OSError):
            self._workers[worker].connection.send(job)

    def events(self, timeout: float) -> Collection[Event]:
        """Return what the processes have told; see `Workers`."""
        ready = wait([worker.connection for worker in self._workers.values()], timeout)
        numbers = [n for n, worker in self._workers.items() if worker.connection in ready]
        return [self._event(number) for number in numbers]

    def close(self) -> None:
        """End all processes: what waits for a job at once, the others are killed."""
        for worker in self._workers.values():
            worker.connection.close()
        for worker in self._workers.values():
            worker.process.join(_END_SECONDS)
            worker.process.kill()
            worker.process.join()
        self._workers.clear()

    def _event(self, number: int) -> Event:
        worker = self._workers[number]
        try:
            return Event(number, *worker.connection.recv())
        except (EOFError, OSError):
            worker.process.join()
            worker.connection.close()
            del self._workers[number]
            return Event(number, "died", f"its process ended: {_how(worker.process.exitcode)}")


def gpu_share(wanted: float | None) -> float:
    """Return the share of a GPU that a worker takes: what is wanted, or one where there is any.

    Raise ValueError where one is wanted and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if wanted and not has_gpu:
        raise ValueError(f"--gpus-per-worker {wanted:g}: torch finds no GPU on this machine")
    return float(has_gpu) if wanted is None else wanted


def default_count(share: float) -> int:
    """Return how many workers this machine has room for: by its GPUs, or one per four cores."""
    if share:
        return max(1, int(torch.cuda.device_count() / share))
    return max(1, usable_cores() // _CORES_PER_WORKER)


def visible_gpu(slot: int, share: float) -> str | None:
    """Return CUDA_VISIBLE_DEVICES of the worker at a place, None where it stays what it is.

    Each GPU takes as many workers as shares fit on it; more than that begin again with the first.
    """
    if not share:
        return None
    given = os.environ.get(_VISIBLE)
    gpus = given.split(",") if given else [str(i) for i in range(torch.cuda.device_count())]
    return gpus[slot // int(1 / share) % len(gpus)]


def _how(code: int | None) -> str:
    return f"killed by signal {-code}" if code and code < 0 else f"exit code {code}"


def _serve(connection: Connection, load: Loader, threads: int, gpu: str | None) -> None:
    """Do jobs until the other end is closed."""
    # Ctrl-C in a terminal goes to all processes; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    if gpu is not None:
        os.environ[_VISIBLE] = gpu

    def tell(kind: Kind, content: Any = None) -> None:
        try:
            connection.send((kind, content))
        except ConnectionError:
            # Nobody is left to work for; an error would count as one of the job.
            os._exit(1)

    try:
        work = load()
    except Exception as error:
        tell("unfit", words_of(error))
        return
    tell("ready")
    while True:
        try:
            job = connection.recv()
        except (EOFError, ConnectionError):
            return
        try:
            result = work(job, lambda done, of: tell("progress", (done, of)))
        except Exception as error:
            tell("failed", words_of(error))
        else:
            tell("done", result)
