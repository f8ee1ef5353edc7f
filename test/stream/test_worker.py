import threading

import pytest
from waiting import TIMEOUT

from panoptic_ros.stream.worker import GroundWorker


@pytest.fixture
def bench():
    """A worker whose work waits for `go`; what it published and what went wrong."""

    class Bench:
        def __init__(self):
            self.taken, self.go = threading.Semaphore(0), threading.Semaphore(0)
            self.published, self.errors = [], []
            self.settled = threading.Semaphore(0)
            self.worker = GroundWorker(self.work, self.on_error)

        def work(self, frame):
            self.taken.release()
            assert self.go.acquire(timeout=TIMEOUT)
            if frame == "bad":
                raise ValueError("bad frame")
            return lambda: self.publish(frame)

        def publish(self, frame):
            self.published.append(frame)
            self.settled.release()

        def on_error(self, error):
            self.errors.append(str(error))
            self.settled.release()

    bench = Bench()
    yield bench
    bench.go.release(100)
    assert bench.worker.stop(TIMEOUT)


def test_the_newest_frame_replaces_the_one_that_waits(bench):
    bench.worker.resume()
    bench.worker.offer(1)
    assert bench.taken.acquire(timeout=TIMEOUT)
    bench.worker.offer(2)
    bench.worker.offer(3)
    bench.go.release(2)
    for _ in range(2):
        assert bench.settled.acquire(timeout=TIMEOUT)
    assert bench.published == [1, 3]
    assert bench.worker.slot.counts().dropped == 1


def test_nothing_is_published_once_paused(bench):
    bench.worker.resume()
    bench.worker.offer(1)
    assert bench.taken.acquire(timeout=TIMEOUT)
    bench.worker.pause()
    bench.go.release()
    bench.worker.resume()
    bench.worker.offer(2)
    bench.go.release()
    assert bench.settled.acquire(timeout=TIMEOUT)
    assert bench.published == [2]


def test_a_paused_worker_takes_nothing(bench):
    bench.worker.offer(1)
    assert not bench.taken.acquire(blocking=False)
    assert bench.worker.slot.counts().dropped == 1


def test_a_frame_that_fails_does_not_end_the_work(bench):
    bench.worker.resume()
    bench.go.release(2)
    bench.worker.offer("bad")
    assert bench.settled.acquire(timeout=TIMEOUT)
    bench.worker.offer(2)
    assert bench.settled.acquire(timeout=TIMEOUT)
    assert (bench.errors, bench.published) == (["bad frame"], [2])
