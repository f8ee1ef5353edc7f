from types import SimpleNamespace

import numpy as np
import pytest

from panoptic_ros.stream.stamps import (
    MATCH_LENGTH,
    MOST_SENDERS,
    FramesUnderWay,
    SequenceGaps,
    StampMatch,
    StampMonitor,
    nanoseconds,
)

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("stamps", "steps"),
    [
        ([5, 6, 7], [None, None, None]),
        ([0, 0, 0], [None, None, None]),
        # Frames that overtake each other, up to a second.
        ([5, 4.5, 4, 5.5], [None, None, None, None]),
        # A bag loops: one step back, and time goes on from there.
        ([100, 10, 10.1, 9.5, 11], [None, 90, None, None, None]),
        # Each loop counts.
        ([100, 10, 100, 10], [None, 90, None, 90]),
        # Slow enough to hide from a look at neighbours only.
        ([10, 9.4, 8.8], [None, None, 1.2]),
    ],
)
def test_step_back(stamps, steps):
    monitor = StampMonitor()
    found = [monitor.step_back(round(stamp * SECOND)) for stamp in stamps]
    assert found == [None if step is None else pytest.approx(step) for step in steps]


def test_just_one_second_is_allowed():
    monitor = StampMonitor()
    monitor.step_back(5 * SECOND)
    assert monitor.step_back(4 * SECOND) is None
    assert monitor.step_back(4 * SECOND - 1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("sec", "nanosec", "expected"),
    [
        (0, 0, 0),
        (1, 5, SECOND + 5),
        (2**31 - 1, SECOND - 1, 2**31 * SECOND - 1),
    ],
)
def test_nanoseconds(sec, nanosec, expected):
    assert nanoseconds(SimpleNamespace(sec=sec, nanosec=nanosec)) == expected


@pytest.mark.parametrize(
    ("sec", "nanosec"),
    [(-1, 0), (-(2**31), 0), (-1, SECOND - 1), (0, SECOND), (0, 2**32 - 1), (-1, 2**32 - 1)],
)
def test_what_is_no_time_is_named(sec, nanosec):
    with pytest.raises(ValueError, match=f"sec {sec}, nanosec {nanosec} is no time"):
        nanoseconds(SimpleNamespace(sec=sec, nanosec=nanosec))


@pytest.fixture
def messages():
    messages = StampMatch(FramesUnderWay())
    for stamp, name in ((100, "a"), (140, "b"), (180, "c")):
        messages.add(stamp, name)
    return messages


@pytest.mark.parametrize(
    ("stamp", "tolerance", "found"),
    [
        (140, 0, (140, "b")),
        (155, 20, (140, "b")),
        (165, 20, (180, "c")),
        (50, 50, (100, "a")),
        (50, 49, None),
        (200, 10, None),
    ],
)
def test_the_nearest_within_the_tolerance(messages, stamp, tolerance, found):
    assert messages.nearest(stamp, tolerance) == found


def test_whether_a_stamp_is_reached(messages):
    assert messages.reaches(180)
    assert not messages.reaches(181)
    none = StampMatch(FramesUnderWay())
    assert not none.reaches(0)
    assert none.nearest(0, SECOND) is None


def test_time_that_starts_again_forgets_what_was_before():
    messages = StampMatch(FramesUnderWay())
    messages.add(5 * SECOND, "before")
    messages.add(1 * SECOND, "after")
    assert messages.nearest(5 * SECOND, SECOND) is None
    assert messages.nearest(1 * SECOND, 0) == (SECOND, "after")


def test_only_the_last_messages_are_kept():
    messages = StampMatch(FramesUnderWay())
    for stamp in range(MATCH_LENGTH + 1):
        messages.add(stamp, stamp)
    assert messages.nearest(0, 0) is None
    assert messages.nearest(1, 0) == (1, 1)


def test_what_belongs_to_frames_in_work_outlasts_the_others():
    frames = FramesUnderWay()
    messages = StampMatch(frames)
    # Some wait, of which the next takes the place; five are in work, of which three still are.
    for stamp in (1, 2, 9):
        frames.wait(stamp)
    for stamp in (3, 4, 5, 6, 7):
        frames.begin(stamp)
    for stamp in range(10 * MATCH_LENGTH):
        messages.add(stamp, np.array([stamp, stamp]))
    kept = [stamp for stamp in range(10 * MATCH_LENGTH) if messages.nearest(stamp, 0)]
    assert kept[:4] == [5, 6, 7, 9]
    assert kept[4:] == list(range(9 * MATCH_LENGTH + 4, 10 * MATCH_LENGTH))


def test_messages_that_are_missing_are_counted_by_sender():
    gaps = SequenceGaps()
    heard = [(b"a", 7), (b"a", 8), (b"b", 100), (b"a", 12), (b"b", 101), (b"a", 12), (b"a", 13)]
    assert [gaps.missing(*one) for one in heard] == [0, 0, 0, 3, 0, 0, 0]


def test_senders_that_are_long_gone_are_forgotten():
    gaps = SequenceGaps()
    for sender in range(MOST_SENDERS + 1):
        gaps.missing(bytes([sender]), 1)
    assert gaps.missing(bytes([0]), 100) == 0
    assert gaps.missing(bytes([MOST_SENDERS]), 100) == 98
