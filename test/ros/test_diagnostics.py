import math

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from diagnostic_msgs.msg import DiagnosticStatus

from panoptic_ros.ros import diagnostics
from panoptic_ros.ros.diagnostics import Status
from panoptic_ros.ros.ground import GROUND_STAGES
from panoptic_ros.stream.refusals import Refusal
from panoptic_ros.stream.slot import FrameCounts
from panoptic_ros.stream.statistics import STAGES, Latency

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
REFUSAL = Refusal("image", "zero size 0x0")
FAULT = Refusal("memory", "CUDA out of memory")


@pytest.mark.parametrize(
    ("status", "level", "words"),
    [
        (Status("active", seconds_since_frame=0.1), OK, "active"),
        (Status("unconfigured"), OK, "unconfigured"),
        (Status("inactive", seconds_since_frame=100), OK, "inactive"),
        (Status("unconfigured", error="no CUDA"), ERROR, "no CUDA"),
        (Status("active", fault=FAULT), ERROR, "memory: CUDA out of memory"),
        (Status("active", last_refusal=REFUSAL, seconds_since_refusal=1), WARN, "zero size"),
        (Status("active", last_refusal=REFUSAL, seconds_since_frame=1), OK, "active"),
        (
            Status("active", input_topic="/cam", publishers=0, seconds_since_frame=7.4),
            WARN,
            "no image on /cam for 7 s (0 publishers)",
        ),
        (
            Status("active", seconds_since_frame=0.1, lost=3, seconds_since_loss=1),
            WARN,
            "FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA",
        ),
    ],
)
def test_the_worst_is_told(status, level, words):
    found_level, message = status.summary()
    assert found_level == level
    assert words in message


def test_values():
    status = Status(
        "active",
        weights="town",
        device="cpu",
        fusion="stack",
        input_topic="/image",
        image_size="640x480",
        rate=12.5,
        counts=FrameCounts(frames_in=10, out=4, dropped=3, refused=1),
        lost=5,
        refused={"image": 1, "stamp": 0, "memory": 0, "inference": 0},
        last_refusal=REFUSAL,
        latency={**dict.fromkeys(STAGES, Latency()), "age": Latency(20.0, 30.5)},
    )
    values = status.values()
    expected = {
        "state": "active",
        "weights": "town",
        "device": "cpu",
        "fusion": "stack",
        "input_topic": "/image",
        "image_size": "640x480",
        "rate_hz": "12.50",
        "frames_in": "10",
        "frames_out": "4",
        "frames_dropped": "3",
        "frames_refused": "1",
        "frames_waiting": "2",
        "frames_lost": "5",
        "refused_image": "1",
        "refused_stamp": "0",
        "last_refusal": "zero size 0x0",
        "latency_age_p50_ms": "20.00",
        "latency_age_p95_ms": "30.50",
    }
    assert expected.items() <= values.items()
    assert math.isnan(float(values["latency_decode_p50_ms"]))
    assert values.keys() == Status("unconfigured").values().keys()


def test_every_key_is_documented():
    names = (*STAGES, *GROUND_STAGES)
    stages = {f"latency_{stage}_{p}_ms" for stage in names for p in ("p50", "p95")}
    for key in Status("active").values().keys() - stages:
        assert key in diagnostics.__doc__
    for stage in names:
        assert stage in diagnostics.__doc__


def test_the_log_line_counts_from_the_last_one():
    before = FrameCounts(frames_in=100, out=50, dropped=40, refused=10)
    now = FrameCounts(frames_in=220, out=90, dropped=110, refused=19)
    latency = {"age": Latency(120, 150), "inference": Latency(100, 130)}
    line = Status("active", rate=4.04, counts=now, latency=latency).line(before)
    assert line == (
        "4.0 frames/s, latency 120 ms (p95 150), of which inference 100 ms (p95 130); "
        "in 120, out 40, dropped 70, refused 9"
    )


def test_the_line_without_frames_says_so():
    line = Status("active").line(FrameCounts())
    assert line == "0.0 frames/s, no frame answered; in 0, out 0, dropped 0, refused 0"
