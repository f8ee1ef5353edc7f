"""Workers that are actors of a Ray cluster."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Collection
from itertools import count as count_up
from typing import Any

from panoptic_ros.distributed.jobs import Event, Kind, Loader, words_of

_PROGRESS_SECONDS = 1.0
_CONNECT_SECONDS = 10.0
# Ray writes names in colours.
_COLORS = re.compile(r"\x1b\[\d+m")


class _Actor:
    """Do jobs in one thread of the worker's process while another tells how far it is."""

    def __init__(self, load: Loader) -> None:
        self._load = load
        self._done: tuple[int, int] | None = None
        self._changed = threading.Condition()

    def load(self) -> None:
        self._work = self._load()

    def run(self, job: Any) -> Any:
        return self._work(job, self._report)

    def progress(self) -> tuple[int, int] | None:
        """Return what was reported last, once something was or nothing has been for a while."""
        with self._changed:
            self._changed.wait(_PROGRESS_SECONDS)
            return self._done

    def _report(self, done: int, of: int) -> None:
        with self._changed:
            self._done = done, of
            self._changed.notify()


class RayWorkers:
    """Run workers as actors, a core and a share of a GPU each, wherever the cluster has them.

    address: `auto` for the cluster of this machine or of RAY_ADDRESS, HOST:PORT, or `local` for
    one that lives as long as this process; gpus: None takes one where the cluster has any.
    Raise ConnectionError where no cluster answers, ValueError where it lacks what is asked for.
    """

    def __init__(self, address: str, load: Loader, gpus: float | None = None) -> None:
        import ray

        self._ray = ray
        try:
            _require_answer(address)
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except OSError as error:
            raise ConnectionError(
                f"no Ray cluster at {address}: start one by `ray start --head` (docs/scale.md), or "
                "give --ray local; one that asks for a token wants RAY_AUTH_MODE=token"
            ) from error
        resources = ray.cluster_resources()
        cores, found = resources.get("CPU", 0), resources.get("GPU", 0)
        share = min(1.0, found) if gpus is None else gpus
        self.capacity = int(min(cores, found / share) if share else cores)
        if not self.capacity:
            ray.shutdown()
            raise ValueError(
                f"the cluster at {address} has {cores:g} cores and {found:g} GPUs; a worker takes "
                f"a core and {share:g} GPUs (--gpus-per-worker)"
            )
        self._load = load
        # Two threads: one tells how far the other is.
        place: dict[str, Any] = {"num_cpus": 1, "num_gpus": share, "max_concurrency": 2}
        self._actor: Any = ray.remote(**place)(_Actor)
        self._actors: dict[int, Any] = {}
        # What is awaited: a reference and the worker that it is of.
        self._calls: dict[Any, tuple[int, Kind]] = {}
        self._numbers = count_up()

    def start(self) -> None:
        """Ask for an actor, which waits for its place in the cluster; see `Workers`."""
        number = next(self._numbers)
        self._actors[number] = self._actor.remote(self._load)
        self._calls[self._actors[number].load.remote()] = number, "ready"

    def give(self, worker: int, job: Any) -> None:
        """Call the actor; see `Workers`."""
        self._calls[self._actors[worker].run.remote(job)] = worker, "done"
        self._calls[self._actors[worker].progress.remote()] = worker, "progress"

    def events(self, timeout: float) -> Collection[Event]:
        """Return what the calls gave; see `Workers`."""
        ready, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=timeout)
        found = [self._event(reference) for reference in ready if reference in self._calls]
        return [event for event in found if event]

    def close(self) -> None:
        """Kill all actors and leave the cluster."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._ray.shutdown()

    def _event(self, reference: Any) -> Event | None:
        worker, kind = self._calls.pop(reference)
        try:
            content = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            del self._actors[worker]
            self._calls = {r: call for r, call in self._calls.items() if call[0] != worker}
            return Event(worker, "died", words_of(OSError(_COLORS.sub("", str(error)))))
        except self._ray.exceptions.RayTaskError as error:
            failed: Kind = "unfit" if kind == "ready" else "failed"
            return Event(worker, failed, words_of(error.cause))
        is_running = (worker, "done") in self._calls.values()
        if kind == "progress" and is_running:
            self._calls[self._actors[worker].progress.remote()] = worker, "progress"
        return (
            Event(worker, kind, content) if kind != "progress" or (is_running and content) else None
        )


def _require_answer(address: str) -> None:
    """Raise OSError where nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and "/" not in address:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
