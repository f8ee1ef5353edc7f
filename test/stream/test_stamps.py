import pytest

from panoptic_ros.stream.stamps import StampMonitor

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


def test_reset_forgets():
    monitor = StampMonitor()
    monitor.step_back(100 * SECOND)
    monitor.reset()
    assert monitor.step_back(SECOND) is None
