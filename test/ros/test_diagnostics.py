import math
import os
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from node_process import Client, wait_for
from rclpy.context import Context

from panoptic_ros import resources
from panoptic_ros.ros import diagnostics
from panoptic_ros.ros.diagnostics import (
    KINDS,
    STAGES,
    STAMP_KINDS,
    FrameStatus,
    Reporter,
    Status,
    transport_advice,
)
from panoptic_ros.ros.ground import GROUND_STAGES, GroundStatus
from panoptic_ros.stream.health import Count, Health, Latency
from panoptic_ros.stream.worker import FrameCounts
from panoptic_ros.transports import CHOICES, profiles_file

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
UNKNOWN = dict.fromkeys(STAGES, Latency())


def active(fault="", latency=UNKNOWN, counts=None, **frames):
    """Return the status of an active node; counts: by kind."""
    health = Health(latency=latency, counts=counts or {}, fault=fault)
    return Status("active", input_topic="/cam", frames=FrameStatus(health=health, **frames))


def on_ground(kind, count):
    health = Health(latency=dict.fromkeys(GROUND_STAGES, Latency()), counts={kind: count})
    return replace(active(), ground=GroundStatus(health=health))


PROFILES = "FASTDDS_DEFAULT_PROFILES_FILE"


@pytest.fixture
def transports(monkeypatch):
    for name in (*CHOICES, "AMENT_PREFIX_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("status", "level", "words"),
    [
        (active(seconds_since_arrival=0.1), OK, "active"),
        (Status("unconfigured"), OK, "unconfigured"),
        (Status("inactive", frames=FrameStatus(seconds_since_arrival=100)), OK, "inactive"),
        (Status("unconfigured", error="no CUDA"), ERROR, "no CUDA"),
        (active(fault="memory: out of memory"), ERROR, "memory: out of memory"),
        (active(counts={"image": Count(1, "zero size", 1)}), WARN, "zero size"),
        (active(counts={"image": Count(1, "zero size", 11)}), OK, "active"),
        (
            active(seconds_since_arrival=7.4),
            WARN,
            "no image on /cam for 7 s (0 publishers); compare its name with `ros2 topic list`, and "
            "ROS_DOMAIN_ID, RMW_IMPLEMENTATION, FASTDDS_BUILTIN_TRANSPORTS with the camera's",
        ),
        (
            active(seconds_since_arrival=7.4, publishers=1),
            WARN,
            "(1 publishers); set FASTDDS_DEFAULT_PROFILES_FILE=",
        ),
        (
            active(seconds_since_arrival=7.4, publishers=1),
            WARN,
            "another user's camera shares no memory: unset FASTDDS_DEFAULT_PROFILES_FILE, set "
            "FASTDDS_BUILTIN_TRANSPORTS=UDPv4 for both",
        ),
        (active(counts={"lost": Count(3, "", 1)}), WARN, "3 frames were lost on the way; set FAST"),
        # While publisher and subscription still connect.
        (active(counts={"lost": Count(1, "", 1)}, seconds_active=4), OK, "active"),
        (active(counts={"lost": Count(1, "", 1)}, seconds_active=5.5), OK, "active"),
        (active(counts={"lost": Count(1, "", 1)}, seconds_active=7), WARN, "lost"),
        (
            active(counts={"standing": Count(9, "the stamps of /cam stand still", 1)}),
            WARN,
            "the stamps of /cam stand still (9 frames): such frames have no grid",
        ),
        (active(counts={"overtaken": Count(1, "an image on /cam", 1)}), WARN, "image on /cam"),
        (active(seconds_in_work=15, stall_timeout=10), ERROR, "inference hangs"),
        (active(seconds_in_work=9, stall_timeout=10), OK, "active"),
        (active(is_alive=False), ERROR, "the inference thread has ended"),
        (Status("unconfigured", busy=12.3), WARN, "unconfigured, busy: an inference"),
        (Status("inactive", callbacks=Count(1, "a callback of /odom", 2)), WARN, "/odom"),
        (on_ground("grid", Count(1, "no transform", 1)), WARN, "without a grid: no transform"),
        (on_ground("depth", Count(1, "depth left out: row_step", 1)), WARN, "row_step"),
        (on_ground("points", Count(1, "x", 11)), OK, "active"),
    ],
)
def test_the_worst_is_told(transports, status, level, words):
    found_level, message = status.summary()
    assert words in message
    assert found_level == level


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, f"set {PROFILES}={profiles_file()}, not FASTDDS_BUILTIN_TRANSPORTS, for camera and"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, f"set {PROFILES}={profiles_file()}, not"),
        ({PROFILES: "/mine.xml"}, f"set {PROFILES}=/mine.xml for the camera's process too"),
    ],
)
def test_advice_is_for_the_transports_in_use(environment, words):
    advice = transport_advice(environment)
    assert words in advice
    assert "qos.reliability:=reliable" in advice


def test_other_middleware_has_other_advice(monkeypatch):
    monkeypatch.setattr(diagnostics, "get_rmw_implementation_identifier", lambda: "rmw_cyclonedds")
    assert "rmem_max" in transport_advice(os.environ)
    assert "FASTDDS" not in transport_advice(os.environ)
    for publishers in (0, 1):
        _, message = active(seconds_since_arrival=7.4, publishers=publishers).summary()
        assert f"({publishers} publishers); " in message
        assert "FASTDDS" not in message


def test_values():
    counted = {"image": Count(1, "zero size 0x0", 3), "lost": Count(5), "standing": Count(2)}
    status = replace(
        active(
            latency={**UNKNOWN, "age": Latency(20.0, 30.5)},
            size="640x480",
            counts=counted,
        ),
        weights="town",
        device="cpu",
        fusion="stack",
    )
    health = replace(status.frames.health, rate=12.5)
    counts = FrameCounts(frames_in=10, out=4, dropped=3, refused=1)
    status = replace(status, frames=replace(status.frames, health=health), busy=3.0)
    object.__setattr__(status.frames, "counts", counts)
    values = status.values()
    expected = {
        "state": "active",
        "busy_s": "3.0",
        "weights": "town",
        "device": "cpu",
        "fusion": "stack",
        "input_topic": "/cam",
        "image_size": "640x480",
        "rate_hz": "12.50",
        "frames_in": "10",
        "frames_out": "4",
        "frames_dropped": "3",
        "frames_refused": "1",
        "frames_waiting": "2",
        "frames_lost": "5",
        "frames_standing": "2",
        "frames_overtaken": "0",
        "refused_image": "1",
        "refused_stamp": "0",
        "last_refusal": "zero size 0x0",
        "latency_age_p50_ms": "20.00",
        "latency_age_p95_ms": "30.50",
        "latency_hint": "",
    }
    assert expected.items() <= values.items()
    assert math.isnan(float(values["latency_decode_p50_ms"]))
    assert values.keys() == Status("unconfigured").values().keys()


def test_every_key_is_documented():
    names = (*STAGES, *GROUND_STAGES)
    stages = {f"latency_{stage}_{p}_ms" for stage in names for p in ("p50", "p95")}
    text = (resources.share_dir() / "docs" / "node.md").read_text()
    for key in Status("active").values().keys() - stages:
        assert f"`{key}`" in text
    (latencies,) = (line for line in text.splitlines() if line.startswith("| `latency_STAGE_"))
    for stage in names:
        assert re.search(rf"[:,;] {stage}[ ,;]", latencies)
    assert {f"refused_{k}" for k in KINDS} | {f"frames_{k}" for k in STAMP_KINDS} <= set(
        Status("active").values()
    )


LATENCY = {
    **UNKNOWN,
    "age": Latency(120, 150),
    "total": Latency(110, 140),
    "inference": Latency(100, 130),
}


@pytest.mark.parametrize(
    ("before", "counted"),
    [
        (FrameCounts(100, 50, 40, 10), "in 120, out 40, dropped 70, refused 9"),
        # Of before the node was configured again.
        (FrameCounts(500, 250, 200, 50), "in 220, out 90, dropped 110, refused 19"),
    ],
)
def test_the_log_line_counts_from_the_last_one(before, counted):
    frames = FrameStatus(
        counts=FrameCounts(frames_in=220, out=90, dropped=110, refused=19),
        health=Health(rate=4.04, latency=LATENCY),
    )
    assert Status("active", frames=frames).line(before) == (
        f"4.0 frames/s, latency 120 ms (p95 150), of which inference 100 ms (p95 130); {counted}"
    )


@pytest.mark.parametrize("gap", [95687072.474, -3600.0])
def test_latency_is_unknown_where_stamps_are_of_another_clock(gap):
    latency = {**LATENCY, "age": Latency()}
    status = active(latency=latency, clock_gap=gap)
    line = status.line(FrameCounts())
    assert "latency unknown" in line
    assert f"{gap:.1f} s apart" in line
    assert "use_sim_time" in line
    assert "since arrival 110 ms" in line
    assert "nan" not in line
    assert f"{gap:.1f} s apart" in status.values()["latency_hint"]
    assert status.values()["latency_age_p50_ms"] == "nan"


def test_a_clock_that_never_comes_is_no_reason_to_set_use_sim_time():
    hint = active(clock_gap=-1.7e9, clocks=0).values()["latency_hint"]
    assert "stamps and /clock (0 publishers) are -1700000000.0 s apart" in hint
    assert "or set use_sim_time to false" in hint


def test_the_line_without_frames_says_so():
    line = Status("active").line(FrameCounts())
    assert line == "0.0 frames/s, no frame answered; in 0, out 0, dropped 0, refused 0"


@pytest.fixture
def node(domain):
    context = Context()
    rclpy.init(context=context)
    yield rclpy.create_node("panoptic", context=context)
    rclpy.shutdown(context=context)


def test_the_reporter_outlives_a_status_that_fails_and_texts_that_are_no_unicode(node):
    beats = []

    def status():
        beats.append(None)
        if len(beats) == 1:
            raise AttributeError("a race")
        if len(beats) == 2:
            return SimpleNamespace()
        return replace(active(counts={"image": Count(1, "caf\udce9", 1)}), device="\ud800")

    client = Client()
    reporter = Reporter(node, status)
    [message] = wait_for(lambda: client.diagnostics[:1], "diagnostics")
    reporter.close()
    client.close()
    assert message.status[0].message == "frames refused: caf\\udce9"
    assert message.status[0].hardware_id == "\\ud800"
    assert len(beats) >= 3
