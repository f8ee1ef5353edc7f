import math
import time

import pytest

from panoptic_ros.stream.health import WINDOW_SECONDS, Count, HealthMonitor, Latency, LogPause

STAGES = ("decode", "total")


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def monitor(clock):
    return HealthMonitor(STAGES, ("image", "memory", "inference"), ("memory", "inference"))


def times(milliseconds):
    return dict.fromkeys(STAGES, milliseconds)


def test_without_frames_latency_is_unknown_and_the_rate_zero(monitor):
    health = monitor.snapshot()
    assert health.rate == 0
    assert tuple(health.latency) == STAGES
    assert all(math.isnan(value.p50) and math.isnan(value.p95) for value in health.latency.values())


def test_percentiles_of_each_stage(monitor):
    for milliseconds in range(101):
        monitor.settle({**times(milliseconds), "decode": 7.0})
    latency = monitor.snapshot().latency
    assert latency == {"total": Latency(50, 95), "decode": Latency(7, 7)}


def test_a_time_that_is_unknown_counts_for_no_percentile(monitor):
    monitor.settle({"decode": 3.0, "total": math.nan})
    monitor.settle({"decode": 5.0, "total": 8.0})
    assert monitor.snapshot().latency == {"decode": Latency(4, 4.9), "total": Latency(8, 8)}
    assert monitor.snapshot().rate == 0


def test_the_rate_is_of_the_window(monitor, clock):
    for _ in range(40):
        clock[0] += 0.5
        monitor.settle(times(1))
    assert monitor.snapshot().rate == pytest.approx(2, rel=0.06)


def test_before_a_full_window_the_rate_counts_from_the_start(monitor, clock):
    for _ in range(4):
        clock[0] += 0.5
        monitor.settle(times(1))
    assert monitor.snapshot().rate == 2


def test_old_frames_are_forgotten_and_all_with_a_restart(monitor, clock):
    monitor.settle(times(1000))
    clock[0] += WINDOW_SECONDS + 1
    monitor.settle(times(3))
    assert monitor.snapshot().latency["total"] == Latency(3, 3)
    monitor.restart()
    assert monitor.snapshot().rate == 0


def test_counts_by_kind_with_the_last_reason_and_its_age(monitor, clock):
    assert monitor.snapshot().newest(STAGES) == Count()
    monitor.count("image", "too small")
    monitor.count("memory", "2 GiB")
    clock[0] += 30
    monitor.count("image", "no bytes", 3)
    health = monitor.snapshot()
    assert health.counts["image"] == Count(4, "no bytes", 0)
    assert health.counts["memory"] == Count(1, "2 GiB", 30)
    assert health.newest(("memory", "image")).reason == "no bytes"
    assert health.count("inference").number == 0
    assert health.counts["inference"].seconds_ago == math.inf


@pytest.mark.parametrize(
    ("kind", "fault"), [("image", ""), ("memory", "memory: x"), ("inference", "inference: x")]
)
def test_the_nodes_own_failures_stay_until_a_frame_goes_through(monitor, kind, fault):
    assert monitor.count(kind, "x")
    assert monitor.count(kind, "x") == (not fault)
    assert monitor.snapshot().fault == fault
    monitor.settle(times(1))
    assert monitor.snapshot().fault == ""
    assert monitor.snapshot().count(kind).number == 2
    assert monitor.count(kind, "x")


def test_each_kind_of_line_has_its_own_pause(clock):
    pause, due = LogPause(5.0), []
    for now, kind in ((0, "depth"), (1, "depth"), (1, "odom"), (5, "depth"), (5.5, "odom")):
        clock[0] = now
        due.append(pause.is_due(kind))
    assert due == [True, False, True, True, False]
