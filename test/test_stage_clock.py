import time

import pytest
import torch

from panoptic_ros.stage_clock import StageClock


def test_laps_add_up_to_the_total():
    clock = StageClock(torch.device("cpu"))
    time.sleep(0.02)
    clock.lap("first")
    clock.lap("second")
    times = clock.milliseconds()
    assert list(times) == ["first", "second", "total"]
    assert times["first"] >= 20
    assert times["total"] == pytest.approx(times["first"] + times["second"])


@pytest.mark.gpu
def test_events_measure_the_gpu_not_the_launch():
    clock = StageClock(torch.device("cuda"))
    torch.cuda._sleep(50_000_000)
    clock.lap("sleep")
    assert clock.milliseconds()["sleep"] > 5
