import time

import pytest
import torch

from panoptic_ros.stage_clock import StageClock


def test_a_lap_is_the_time_since_the_one_before():
    clock = StageClock(torch.device("cpu"))
    time.sleep(0.02)
    clock.lap("first")
    clock.lap("second")
    times = clock.milliseconds()
    assert list(times) == ["first", "second"]
    assert times["first"] >= 20
    assert 0 <= times["second"] < times["first"]


@pytest.mark.gpu
def test_events_measure_the_gpu_not_the_launch():
    clock = StageClock(torch.device("cuda"))
    torch.cuda._sleep(50_000_000)
    clock.lap("sleep")
    assert clock.milliseconds()["sleep"] > 5
