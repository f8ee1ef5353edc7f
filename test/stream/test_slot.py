import random
import threading
import time

import pytest

from panoptic_ros.stream.slot import FrameCounts, FrameSlot


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
