import pytest

from panoptic_ros.stream.rate_cap import RateCap


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
