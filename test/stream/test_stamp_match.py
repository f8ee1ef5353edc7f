import pytest

from panoptic_ros.stream.stamp_match import LENGTH, StampMatch

SECOND = 1_000_000_000


@pytest.fixture
def messages():
    messages = StampMatch()
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
    assert not StampMatch().reaches(0)
    assert StampMatch().nearest(0, SECOND) is None


def test_time_that_starts_again_forgets_what_was_before():
    messages = StampMatch()
    messages.add(5 * SECOND, "before")
    messages.add(1 * SECOND, "after")
    assert messages.nearest(5 * SECOND, SECOND) is None
    assert messages.nearest(1 * SECOND, 0) == (SECOND, "after")


def test_only_the_last_ones_are_kept():
    messages = StampMatch()
    for stamp in range(LENGTH + 1):
        messages.add(stamp, stamp)
    assert messages.nearest(0, 0) is None
    assert messages.nearest(1, 0) == (1, 1)
