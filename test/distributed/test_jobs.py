import pytest

from panoptic_ros.distributed import Event, run_jobs


class Fakes:
    """Workers that do a job as its list says: one event after the other."""

    def __init__(self, starts=()):
        self.starts = list(starts)
        self.started = self.most = 0
        self.alive, self.told = set(), []
        self.is_closed = False

    def start(self):
        self.started += 1
        kind = self.starts.pop(0) if self.starts else "ready"
        self.told.append(Event(self.started, kind, "as it does"))
        self.alive |= {self.started} if kind == "ready" else set()
        return self.started

    def give(self, worker, job):
        self.most = max(self.most, len(self.alive))
        kind, *more = job.pop(0)
        self.alive -= {worker} if kind == "died" else set()
        self.told.append(Event(worker, kind, *more))

    def events(self, timeout):
        told, self.told = self.told, []
        return told

    def close(self):
        self.is_closed = True


DONE, DIES = ("done", "result"), ("died", "as it does")


def test_each_job_is_done_by_no_more_workers_than_wanted():
    workers, jobs = Fakes(), {name: [DONE] for name in "abcde"}
    events = list(run_jobs(workers, 2, jobs))
    assert sorted(e.of for e in events) == list("abcde")
    assert {(e.kind, e.content) for e in events} == {DONE}
    assert (workers.started, workers.most, workers.is_closed) == (2, 2, True)


def test_there_are_no_more_workers_than_jobs():
    workers = Fakes()
    assert len(list(run_jobs(workers, 9, {"a": [DONE], "b": [DONE]}))) == 2
    assert workers.started == 2


def test_a_dead_workers_job_is_taken_up_again_by_a_new_one():
    workers = Fakes()
    events = list(run_jobs(workers, 1, {"a": [DIES, DIES, DONE], "b": [DONE]}))
    assert [(e.of, e.kind) for e in events] == [
        ("a", "died"),
        ("a", "died"),
        ("a", "done"),
        ("b", "done"),
    ]
    assert workers.started == 3


def test_a_job_that_ends_every_worker_fails_and_stops_nothing():
    events = list(run_jobs(Fakes(), 1, {"a": [DIES] * 3, "b": [("failed", "why")], "c": [DONE]}))
    assert [(e.of, e.kind) for e in events[-3:]] == [
        ("a", "failed"),
        ("b", "failed"),
        ("c", "done"),
    ]
    assert events[-3].content == "3 workers died of it, the last as as it does"
    assert events[-2].content == "why"


def test_a_worker_that_cannot_load_ends_all_with_the_reason():
    workers = Fakes(["unfit"])
    with pytest.raises(ValueError, match="as it does"):
        list(run_jobs(workers, 1, {"a": [DONE]}))
    assert workers.is_closed


def test_workers_that_die_as_they_start_are_tried_again_but_not_for_ever():
    assert len(list(run_jobs(Fakes(["died", "died"]), 1, {"a": [DONE]}))) == 1
    with pytest.raises(OSError, match="3 workers died in a row: as it does"):
        list(run_jobs(Fakes(["died"] * 3), 1, {"a": [DONE]}))


def test_it_stops_when_it_is_told_to():
    stopped, seen = [], []
    for event in run_jobs(Fakes(), 1, {"a": [DONE], "b": [DONE]}, stopped):
        seen.append(event.of)
        stopped.append(2)
    assert seen == ["a"]
