import random
import threading
import time
import weakref

import pytest
from waiting import TIMEOUT, wait_for

from panoptic_ros.stream.worker import FrameCounts, FrameSlot, NewestFrameWorker, RateCap


class Bench:
    """A worker whose work waits for `go`; what it published and what went wrong."""

    ahead = None

    def __init__(self):
        self.taken, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.published, self.errors, self.then = [], [], None
        self.settled, self.joined = threading.Semaphore(0), []
        self.worker = NewestFrameWorker(
            "bench", self.work, self.on_error, 3, self.joins, self.prepare, self.ahead
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

    def settle(self, count, go=None):
        """Let frames go, as many as shall be settled or more, and wait until they are."""
        self.go.release(go or count)
        for _ in range(count):
            assert self.settled.acquire(timeout=TIMEOUT)

    def end(self):
        self.go.release(100)
        assert self.worker.stop(TIMEOUT)
        assert not self.worker.is_alive()
        assert not [t.name for t in threading.enumerate() if t.name.startswith("bench")]


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.end()


def test_the_newest_frame_replaces_the_one_that_waits(bench):
    bench.worker.resume()
    bench.worker.slots[0].put(1)
    assert bench.taken.acquire(timeout=TIMEOUT)
    bench.worker.slots[0].put(2)
    bench.worker.slots[0].put(3)
    bench.settle(2)
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
    bench.settle(1)
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
    bench.settle(2, go=3)
    third.put("c3")
    second.put("b")
    bench.settle(3, go=10)
    assert bench.published[:2] == ["a", "c2"]
    assert sorted(bench.published[2:]) == ["a2", "b", "c3"]


def test_a_slot_that_is_closed_leaves_the_others(bench):
    bench.worker.resume()
    first, second, _ = bench.worker.slots
    first.close()
    first.put(1)
    second.put(2)
    bench.settle(1)
    assert bench.published == [2]
    assert (first.counts().dropped, second.counts().out) == (1, 1)


def test_frames_that_join_are_prepared_together_and_settled_one_by_one(bench):
    bench.worker.resume()
    bench.worker.slots[0].put("a")
    assert bench.taken.acquire(timeout=TIMEOUT)
    for slot, frame in zip(bench.worker.slots, ("A", "b", "C"), strict=True):
        slot.put(frame)
    bench.settle(4)
    assert bench.published == ["a", "b", "C", "A"]
    assert bench.joined == [["C", "A"]]
    assert bench.errors == []


def test_without_anything_to_do_ahead_there_is_one_thread(bench):
    assert [t.name for t in threading.enumerate() if t.name.startswith("bench")] == ["bench"]


class AheadBench(Bench):
    """A bench whose second thread waits for `ahead_go`, too; what it was told."""

    def __init__(self):
        self.told, self.begun, self.ahead_go = [], threading.Semaphore(0), threading.Semaphore(0)
        self.ahead_error = None
        super().__init__()

    def ahead(self, frame):
        self.told.append(str(frame))
        self.begun.release()
        assert self.ahead_go.acquire(timeout=TIMEOUT)
        if self.ahead_error is not None:
            raise self.ahead_error

    def begin(self):
        """Put frame 1 into work and let 2, which waits, be told ahead."""
        self.worker.resume()
        self.worker.slots[0].put(1)
        assert self.taken.acquire(timeout=TIMEOUT)
        self.worker.slots[0].put(2)
        assert self.begun.acquire(timeout=TIMEOUT)


@pytest.fixture
def ahead():
    bench = AheadBench()
    yield bench
    bench.ahead_go.release(100)
    bench.end()


def test_only_what_waits_behind_a_frame_is_told_ahead_and_once(ahead):
    ahead.begin()
    ahead.ahead_go.release(2)
    ahead.settle(2, go=3)
    wait_for(lambda: ahead.worker.seconds_in_work() == 0, "an idle worker")
    ahead.run(3)
    assert (ahead.told, ahead.published) == (["2"], [1, 2, 3])


def test_a_frame_that_is_half_ready_is_waited_for(ahead):
    ahead.begin()
    ahead.settle(1, go=2)
    wait_for(lambda: ahead.worker.slots[0].waiting is None, "the frame to be taken")
    assert not ahead.taken.acquire(timeout=0.05)
    # What hangs there is seen as in the work itself.
    assert ahead.worker.seconds_in_work() > 0.04
    ahead.ahead_go.release()
    assert ahead.settled.acquire(timeout=TIMEOUT)
    assert ahead.published == [1, 2]


class Named:
    """A frame that can be watched."""

    def __str__(self):
        return "named"


def test_a_frame_that_is_replaced_while_it_gets_ready_holds_up_nobody(ahead):
    ahead.worker.resume()
    ahead.worker.slots[0].put(1)
    assert ahead.taken.acquire(timeout=TIMEOUT)
    frame = Named()
    watched = weakref.ref(frame)
    ahead.worker.slots[0].put(frame)
    del frame
    assert ahead.begun.acquire(timeout=TIMEOUT)
    ahead.worker.slots[0].put(3)
    ahead.settle(2)
    assert ahead.published == [1, 3]
    assert ahead.worker.slots[0].counts().dropped == 1
    assert ahead.told == ["named"]
    ahead.ahead_go.release()
    wait_for(lambda: watched() is None, "the memory of a dropped frame")


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt()])
def test_what_is_raised_ahead_is_left_to_the_work(ahead, error):
    ahead.ahead_error = error
    ahead.begin()
    ahead.worker.slots[0].put(error)
    ahead.ahead_go.release(2)
    assert ahead.begun.acquire(timeout=TIMEOUT)
    ahead.settle(2)
    assert (ahead.errors, ahead.published) == ([error], [1])
    counts = ahead.worker.slots[0].counts()
    assert (counts.out, counts.dropped, counts.refused) == (1, 1, 1)
    ahead.run(4)


def test_frames_of_other_slots_get_ready_in_turn(ahead):
    ahead.begin()
    for slot, name in zip(ahead.worker.slots, "abc", strict=True):
        slot.put(name)
    ahead.ahead_go.release(4)
    for _ in range(3):
        assert ahead.begun.acquire(timeout=TIMEOUT)
    assert ahead.told == ["2", "b", "c", "a"]


def test_nothing_gets_ready_while_the_worker_rests(ahead):
    resting = threading.Event()

    def rest():
        resting.set()
        ahead.worker.rest(10 * TIMEOUT)

    ahead.then = rest
    ahead.worker.resume()
    ahead.run(ValueError())
    assert resting.wait(TIMEOUT)
    ahead.worker.slots[0].put(2)
    assert not ahead.begun.acquire(timeout=0.05)


def test_the_end_waits_for_what_gets_ready(ahead):
    ahead.begin()
    ahead.go.release()
    assert not ahead.worker.stop(0.05)
    assert ahead.worker.is_alive()
    ahead.ahead_go.release()
    assert ahead.worker.stop(TIMEOUT)
    assert not ahead.worker.is_alive()
    assert ahead.published == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_its_second_thread_the_worker_goes_on(ahead, monkeypatch):
    def fail():
        raise MemoryError

    monkeypatch.setattr(ahead.worker.slots[0], "look", fail)
    ahead.worker.resume()
    ahead.worker.slots[0].put(1)
    wait_for(
        lambda: "bench ahead" not in [t.name for t in threading.enumerate()], "the thread's end"
    )
    ahead.worker.slots[0].put(2)
    ahead.settle(2)
    assert (ahead.told, ahead.published) == ([], [1, 2])


def test_each_frame_gets_ready_once_at_most_and_not_beside_its_work():
    """Three slots, 3000 frames, each of them in the hands of one thread at a time."""
    chance, hands, told = random.Random(0), [], []

    def hold(frame):
        assert frame not in hands
        hands.append(frame)
        time.sleep(chance.random() * 2e-4)
        hands.remove(frame)

    def ahead(frame):
        told.append(frame)
        hold(frame)

    def work(frame):
        hold(frame)
        return published

    errors = []
    worker = NewestFrameWorker(
        "stress", work, lambda frame, error: errors.append(error), 3, ahead=ahead
    )
    worker.resume()
    for number in range(3000):
        worker.slots[chance.randrange(3)].put(number)
        time.sleep(chance.random() * 1e-4)
    wait_for(lambda: not any(s.counts().waiting for s in worker.slots), "all frames")
    assert worker.stop(TIMEOUT)
    counts = [slot.counts() for slot in worker.slots]
    assert not errors
    assert sum(c.out + c.dropped for c in counts) == 3000
    assert 0 < len(told) == len(set(told))


def published():
    pass


@pytest.fixture
def slot():
    slot = FrameSlot()
    slot.open()
    return slot


def test_a_newer_frame_replaces_a_waiting_one(slot):
    for frame in "abc":
        slot.put(frame)
    assert slot.counts() == FrameCounts(frames_in=3, dropped=2)
    assert slot.take() == "c"
    assert slot.counts().waiting == 1


def test_a_frame_in_work_and_one_in_the_slot_both_wait(slot):
    slot.put("a")
    slot.take()
    slot.put("b")
    assert slot.counts() == FrameCounts(frames_in=2)
    assert slot.counts().waiting == 2


def test_what_is_published_is_out_and_the_rest_refused(slot):
    outputs = []
    slot.put("a")
    frame = slot.take()
    assert slot.deliver(lambda: outputs.append(frame))
    slot.put("b")
    slot.take()
    slot.refuse()
    assert outputs == ["a"]
    assert slot.counts() == FrameCounts(frames_in=2, out=1, refused=1)


def test_a_frame_whose_publication_fails_can_be_refused(slot):
    slot.put("a")
    slot.take()
    with pytest.raises(ZeroDivisionError):
        slot.deliver(lambda: 1 // 0)
    slot.refuse()
    assert slot.counts() == FrameCounts(frames_in=1, refused=1)


def test_a_frame_refused_on_arrival_leaves_the_waiting_one(slot):
    slot.put("a")
    slot.refuse_arrival()
    assert slot.counts() == FrameCounts(frames_in=2, refused=1)
    slot.drop_waiting()
    slot.drop_waiting()
    assert slot.counts() == FrameCounts(frames_in=2, dropped=1, refused=1)


@pytest.mark.parametrize("reopened", [False, True])
def test_close_drops_the_waiting_frame_and_the_one_in_work(slot, reopened):
    slot.put("a")
    slot.take()
    slot.put("b")
    slot.close()
    assert slot.counts() == FrameCounts(frames_in=2, dropped=1)
    if reopened:
        slot.open()
    assert not slot.deliver(lambda: pytest.fail("published after close"))
    assert slot.counts() == FrameCounts(frames_in=2, dropped=2)


def test_a_closed_slot_drops_what_comes():
    slot = FrameSlot()
    slot.put("a")
    assert slot.counts() == FrameCounts(frames_in=1, dropped=1)


def test_close_waits_for_a_publication_under_way(slot):
    publishing, go_on, events = threading.Event(), threading.Event(), []

    def publish():
        publishing.set()
        assert go_on.wait(10)
        events.append("published")

    slot.put("a")
    slot.take()
    worker = threading.Thread(target=slot.deliver, args=(publish,))
    worker.start()
    assert publishing.wait(10)
    closer = threading.Thread(target=lambda: (slot.close(), events.append("closed")))
    closer.start()
    closer.join(0.05)
    assert closer.is_alive()
    go_on.set()
    worker.join(10)
    closer.join(10)
    assert events == ["published", "closed"]


def test_nothing_is_taken_where_nothing_waits(slot):
    slot.put("a")
    assert (slot.waiting, slot.take(), slot.waiting) == ("a", "a", None)
    with pytest.raises(LookupError, match="no frame waits"):
        slot.take()


def test_a_frame_that_waits_is_looked_at_once(slot):
    assert slot.look() is None
    slot.put("a")
    assert (slot.look(), slot.look(), slot.waiting) == ("a", None, "a")
    slot.put("b")
    assert slot.take() == "b"
    assert slot.look() is None


def test_every_frame_is_accounted_for_at_any_time(slot):
    """One thread puts, one settles, one looks; 2000 frames of mixed fates."""
    chance = random.Random(0)
    snapshots, ended = [], threading.Event()

    def work():
        while not ended.is_set():
            if slot.waiting is None:
                time.sleep(1e-5)
                continue
            slot.take()
            if chance.random() < 0.5:
                slot.deliver(published)
            else:
                slot.refuse()

    worker = threading.Thread(target=work)
    worker.start()
    for number in range(2000):
        slot.refuse_arrival() if number % 7 == 0 else slot.put(number)
        snapshots.append(slot.counts())
        if number % 10 == 0:
            time.sleep(1e-4)
    slot.close()
    ended.set()
    worker.join(10)
    assert all(0 <= counts.waiting <= 2 for counts in snapshots)
    last = slot.counts()
    assert last.waiting == 0
    assert last.frames_in == 2000 == last.out + last.dropped + last.refused
    assert min(last.out, last.dropped, last.refused) > 0


def test_an_arrival_that_is_not_wanted_counts_as_dropped():
    slot = FrameSlot()
    slot.open()
    slot.put("first")
    slot.drop_arrival()
    assert slot.counts() == FrameCounts(frames_in=2, dropped=1)
    assert slot.take() == "first"


def passed(rate, camera=30, seconds=10, jitter=0.0):
    """Return how many frames of a camera pass; every other one is late by a part of the period."""
    cap = RateCap()
    times = [(i + jitter * (i % 2)) / camera for i in range(camera * seconds)]
    return sum(cap.admits(t, rate) for t in times)


@pytest.mark.parametrize("jitter", [0.0, 0.3])
@pytest.mark.parametrize("rate", [1, 10, 20, 29])
def test_the_rate_is_reached_and_not_exceeded(rate, jitter):
    # The first two may follow each other at once.
    assert passed(rate, jitter=jitter) == pytest.approx(10 * rate, abs=2)


def test_a_slow_camera_is_not_slowed_down():
    assert passed(50) == passed(0) == 300


def test_after_a_gap_the_rate_is_kept():
    cap = RateCap()
    times = (0.0, 0.01, 0.05, 0.11, 5.0, 5.01, 5.02, 5.1, 5.11, 5.2)
    admitted = [t for t in times if cap.admits(t, 10)]
    assert admitted == [0.0, 0.01, 0.11, 5.0, 5.01, 5.1, 5.2]


def test_another_rate_counts_at_once():
    cap = RateCap()
    rates = {0.0: 0.01, 1.0: 0.01, 1.1: 0.01, 1.2: 10, 1.25: 10, 1.26: 10, 1.31: 10}
    assert [t for t, rate in rates.items() if cap.admits(t, rate)] == [0.0, 1.0, 1.2, 1.25, 1.31]
