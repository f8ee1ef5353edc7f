import threading
import time

import pytest
from waiting import TIMEOUT

from panoptic_ros.stream.worker import NewestFrameWorker


class Bench:
    """A worker whose work waits for `go`; what it published and what went wrong."""

    def __init__(self):
        self.taken, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.published, self.errors, self.then = [], [], None
        self.settled, self.joined = threading.Semaphore(0), []
        self.worker = NewestFrameWorker(
            "bench", self.work, self.on_error, 3, self.joins, self.prepare
        )

    def joins(self, first, other):
        return str(first).isupper() and str(other).isupper()

    def prepare(self, frames):
        self.joined.append(list(frames))
        raise SystemExit(3)

    def work(self, frame):
        self.taken.release()
        assert self.go.acquire(timeout=TIMEOUT)
        if isinstance(frame, BaseException):
            raise frame
        return lambda: self.publish(frame)

    def publish(self, frame):
        self.published.append(frame)
        self.settled.release()

    def on_error(self, frame, error):
        assert frame is error
        self.errors.append(error)
        self.settled.release()
        return self.then

    def run(self, frame):
        """Offer a frame and wait until it is settled."""
        self.go.release()
        self.worker.slots[0].put(frame)
        assert self.settled.acquire(timeout=TIMEOUT)
        assert self.taken.acquire(timeout=TIMEOUT)


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.go.release(100)
    assert bench.worker.stop(TIMEOUT)
    assert not bench.worker.is_alive()


def test_the_newest_frame_replaces_the_one_that_waits(bench):
    bench.worker.resume()
    bench.worker.slots[0].put(1)
    assert bench.taken.acquire(timeout=TIMEOUT)
    bench.worker.slots[0].put(2)
    bench.worker.slots[0].put(3)
    bench.go.release(2)
    for _ in range(2):
        assert bench.settled.acquire(timeout=TIMEOUT)
    assert bench.published == [1, 3]
    assert bench.worker.slots[0].counts().dropped == 1


def test_nothing_is_published_once_paused(bench):
    bench.worker.resume()
    bench.worker.slots[0].put(1)
    assert bench.taken.acquire(timeout=TIMEOUT)
    bench.worker.pause()
    bench.go.release()
    bench.worker.resume()
    bench.worker.slots[0].put(2)
    bench.go.release()
    assert bench.settled.acquire(timeout=TIMEOUT)
    assert bench.published == [2]


def test_a_paused_worker_takes_nothing(bench):
    bench.worker.slots[0].put(1)
    assert not bench.taken.acquire(blocking=False)
    assert bench.worker.slots[0].counts().dropped == 1


@pytest.mark.parametrize(
    "error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt(), MemoryError(), BaseException()]
)
def test_nothing_that_a_frame_raises_ends_the_work(bench, error):
    bench.worker.resume()
    bench.run(error)
    bench.run(2)
    assert (bench.errors, bench.published) == ([error], [2])
    counts = bench.worker.slots[0].counts()
    assert (counts.frames_in, counts.out, counts.refused) == (2, 1, 1)


def test_what_an_error_asks_for_comes_before_the_next_frame(bench):
    bench.then = lambda: bench.published.append("then")
    bench.worker.resume()
    bench.run(ValueError())
    bench.run(2)
    assert bench.published == ["then", 2]


def test_a_rest_does_not_hold_up_the_end(bench):
    bench.then = lambda: bench.worker.rest(10 * TIMEOUT)
    bench.worker.resume()
    bench.run(ValueError())
    assert bench.worker.stop(TIMEOUT)


def test_a_frame_that_hangs_is_seen_and_given_up(bench):
    assert bench.worker.seconds_in_work() == 0
    bench.worker.resume()
    bench.worker.slots[0].put(1)
    assert bench.taken.acquire(timeout=TIMEOUT)
    time.sleep(0.05)
    assert 0.04 < bench.worker.seconds_in_work() < TIMEOUT
    assert not bench.worker.stop(0.05)
    assert bench.worker.is_alive()
    bench.go.release()
    assert bench.worker.stop(TIMEOUT)
    assert bench.published == []
    assert bench.worker.seconds_in_work() == 0


def test_slots_are_served_in_turn(bench):
    bench.worker.resume()
    first, second, third = bench.worker.slots
    first.put("a")
    assert bench.taken.acquire(timeout=TIMEOUT)
    for number in range(3):
        for slot, name in ((first, "a"), (third, "c")):
            slot.put(f"{name}{number}")
    bench.go.release(3)
    for _ in range(2):
        assert bench.settled.acquire(timeout=TIMEOUT)
    third.put("c3")
    second.put("b")
    bench.go.release(10)
    for _ in range(3):
        assert bench.settled.acquire(timeout=TIMEOUT)
    assert bench.published[:2] == ["a", "c2"]
    assert sorted(bench.published[2:]) == ["a2", "b", "c3"]


def test_a_slot_that_is_closed_leaves_the_others(bench):
    bench.worker.resume()
    first, second, _ = bench.worker.slots
    first.close()
    first.put(1)
    second.put(2)
    bench.go.release()
    assert bench.settled.acquire(timeout=TIMEOUT)
    assert bench.published == [2]
    assert (first.counts().dropped, second.counts().out) == (1, 1)


def test_frames_that_join_are_prepared_together_and_settled_one_by_one(bench):
    bench.worker.resume()
    bench.worker.slots[0].put("a")
    assert bench.taken.acquire(timeout=TIMEOUT)
    for slot, frame in zip(bench.worker.slots, ("A", "b", "C"), strict=True):
        slot.put(frame)
    bench.go.release(4)
    for _ in range(4):
        assert bench.settled.acquire(timeout=TIMEOUT)
    assert bench.published == ["a", "b", "C", "A"]
    assert bench.joined == [["C", "A"]]
    assert bench.errors == []
