import math
import time

import pytest

from panoptic_ros.stream.statistics import STAGES, FrameStatistics, Latency


def times(milliseconds):
    return dict.fromkeys(STAGES, milliseconds)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_without_frames_latency_is_unknown_and_the_rate_zero(clock):
    statistics = FrameStatistics()
    assert statistics.rate() == 0
    latency = statistics.latency()
    assert tuple(latency) == STAGES
    assert all(math.isnan(value.p50) and math.isnan(value.p95) for value in latency.values())


def test_percentiles_of_each_stage(clock):
    statistics = FrameStatistics()
    for milliseconds in range(101):
        statistics.add({**times(milliseconds), "decode": 7.0})
    latency = statistics.latency()
    assert latency["total"] == Latency(50, 95)
    assert latency["decode"] == Latency(7, 7)


def test_the_rate_is_of_the_window(clock):
    statistics = FrameStatistics(window_seconds=10)
    for _ in range(40):
        clock[0] += 0.5
        statistics.add(times(1))
    assert statistics.rate() == pytest.approx(2, rel=0.06)


def test_before_a_full_window_the_rate_counts_from_the_start(clock):
    statistics = FrameStatistics(window_seconds=10)
    for _ in range(4):
        clock[0] += 0.5
        statistics.add(times(1))
    assert statistics.rate() == 2


def test_old_frames_and_a_reset_are_forgotten(clock):
    statistics = FrameStatistics(window_seconds=10)
    statistics.add(times(1000))
    clock[0] += 11
    statistics.add(times(3))
    assert statistics.latency()["total"] == Latency(3, 3)
    statistics.reset()
    assert statistics.rate() == 0
