"""Give jobs to workers until each is done, whatever becomes of a worker."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from panoptic_ros.extras import how_to_install
from panoptic_ros.messages.refusal import one_line

Kind = Literal["ready", "progress", "done", "failed", "died", "unfit"]
# Takes how much of a job is done, and of how much.
Report: TypeAlias = Callable[[int, int], None]
_POLL_SECONDS = 1.0
# A job that ends so many workers is the reason itself; so is whatever ends as many that start.
_MOST_DEATHS = 3


class Loader(Protocol):
    """Make what does the jobs, in the worker's own process; can be pickled."""

    def __call__(self) -> Callable[[Any, Report], Any]:
        """Return a function of a job and of where to report, which returns the job's result."""


@dataclass(frozen=True)
class Event:
    """Say what became of a worker, or (of `run_jobs`) of a job.

    of: the worker's number, or the job's name; content: of `progress` two numbers, of `done` the
    result, of `failed`, `died` and `unfit` the reason in words.
    """

    of: Any
    kind: Kind
    content: Any = None


class Workers(Protocol):
    """Start worker processes, give them jobs and tell what becomes of them."""

    def start(self) -> None:
        """Start one more worker; it tells its number when it is `ready`."""

    def give(self, worker: int, job: Any) -> None:
        """Let a ready worker do a job."""

    def events(self, timeout: float) -> Collection[Event]:
        """Return what happened, or nothing after `timeout` seconds.

        `unfit` tells that a worker cannot be loaded, `died` that its process is gone.
        """

    def close(self) -> None:
        """End all workers."""


def words_of(error: BaseException) -> str:
    """Return an error in one line, with its kind where a user does not meet it otherwise."""
    if isinstance(error, ModuleNotFoundError):
        return how_to_install(error)
    is_told = isinstance(error, (OSError, ValueError))
    return one_line(str(error) if is_told else f"{type(error).__name__}: {error}")


def run_jobs(
    workers: Workers, count: int, jobs: Mapping[str, Any], stopped: Collection[Any] = ()
) -> Iterator[Event]:
    """Do all jobs, `count` at once; yield `progress`, `died`, `done` and `failed` of each.

    A job whose worker died is taken up again by another; the third time it has failed, as it has
    where it raised an error. stopped: what is not empty any more ends it. Closed at the end.
    Raise ValueError where workers cannot be loaded, OSError where they keep dying before.
    """
    waiting, running = deque(jobs), dict[int, str]()
    idle: set[int] = set()
    deaths: Counter[str] = Counter()
    left, starting, dead_at_start = len(jobs), 0, 0
    with closing(workers):
        while left and not stopped:
            # Never more workers than jobs.
            while len(running) + len(idle) + starting < min(count, left):
                workers.start()
                starting += 1
            while idle and waiting:
                worker, name = idle.pop(), waiting.popleft()
                running[worker] = name
                workers.give(worker, jobs[name])
            for event in workers.events(_POLL_SECONDS):
                name = running.get(event.of, "")
                if event.kind == "unfit":
                    raise ValueError(event.content)
                if event.kind == "ready":
                    starting, dead_at_start = starting - 1, 0
                    idle.add(event.of)
                elif event.kind == "progress":
                    yield Event(name, "progress", event.content)
                elif event.kind != "died":
                    left -= 1
                    idle.add(event.of)
                    yield Event(running.pop(event.of), event.kind, event.content)
                elif not name:
                    starting -= event.of not in idle
                    idle.discard(event.of)
                    dead_at_start += 1
                    if dead_at_start == _MOST_DEATHS:
                        raise OSError(f"{_MOST_DEATHS} workers died in a row: {event.content}")
                else:
                    del running[event.of]
                    deaths[name] += 1
                    if deaths[name] < _MOST_DEATHS:
                        waiting.appendleft(name)
                        yield Event(name, "died", event.content)
                    else:
                        left -= 1
                        words = f"{_MOST_DEATHS} workers died of it, the last as {event.content}"
                        yield Event(name, "failed", words)
