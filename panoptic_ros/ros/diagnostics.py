"""The node's health: /diagnostics, and one log line every ten seconds.

Of a node with several cameras, `<node>: camera NAME` is about each, and `<node>: panoptic` adds
their frames and grids up, without latency, and says what is worst.

docs/node.md explains each key.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier

from panoptic_ros.messages.refusal import one_line
from panoptic_ros.ros.ground import INPUTS, GroundStatus
from panoptic_ros.stream.health import Count, Health, Latency, LogPause, added
from panoptic_ros.stream.worker import FrameCounts
from panoptic_ros.transports import BUILTIN, profiles_file, profiles_variable

# Stages of a frame's latency, in milliseconds. wait: arrival to the worker's hands;
# inference: semantic + instances + fusion; publish: conversion to messages included;
# total: arrival to publication; age: the message's stamp to publication, NaN where stamps and the
# node have different clocks.
STAGES = (
    "wait",
    "decode",
    "semantic",
    "instances",
    "fusion",
    "inference",
    "publish",
    "total",
    "age",
)
# Why frames are refused. image: the message is no picture that can be used; stamp: it is no
# time, or time went backwards; memory is exhausted; inference: anything else on the way.
KINDS = ("image", "stamp", "memory", "inference")
STAMP_KINDS = ("standing", "overtaken")
PERIOD_SECONDS = 1.0
LOG_EVERY = 10
# A warning stays up this long after its cause.
WARN_SECONDS = 10.0
# An active node without a frame for this long has no camera. What is lost while publisher and
# subscription still connect is no reason to warn.
QUIET_SECONDS = 5.0


@dataclass(frozen=True)
class FrameStatus:
    """Hold a snapshot of the way from the camera to the labels.

    size: WIDTHxHEIGHT; publishers: on the camera's topic; clock_gap: seconds that the last
    stamp lies before the node's clock, where that cannot be its age, else 0; clocks: publishers of
    /clock where it is that clock, else None.
    """

    size: str = ""
    publishers: int = 0
    counts: FrameCounts = field(default_factory=FrameCounts)
    health: Health = field(default_factory=lambda: Health(latency=dict.fromkeys(STAGES, Latency())))
    seconds_active: float = math.inf
    seconds_since_arrival: float = 0.0
    seconds_in_work: float = 0.0
    stall_timeout: float = math.inf
    is_alive: bool = True
    clock_gap: float = 0.0
    clocks: int | None = None

    @property
    def last_refusal(self) -> Count:
        """The kind of refusal that happened last."""
        return self.health.newest(KINDS)

    @property
    def latency_hint(self) -> str:
        """What to do where the stamps are of another clock, else ''."""
        if not self.clock_gap:
            return ""
        if self.clocks is not None:
            return (
                f"stamps and /clock ({self.clocks} publishers) are {self.clock_gap:.1f} s apart: "
                "let what sends the images send /clock too (ros2 bag play --clock, the "
                "simulator), and nothing else, or set use_sim_time to false"
            )
        return (
            f"stamps and the node's clock are {self.clock_gap:.1f} s apart: set use_sim_time for "
            "a bag, keep the machines' clocks together (chrony, PTP), or let the driver stamp "
            "with the system's time"
        )


@dataclass(frozen=True)
class Status:
    """Hold a snapshot of the node, or of one of its cameras.

    camera: its name, "" for all; busy: see busy_s; callbacks: those that failed; cameras: the
    snapshots of several.
    """

    state: str
    camera: str = ""
    error: str = ""
    warm_up: str = ""
    busy: float = 0.0
    callbacks: Count = field(default_factory=Count)
    weights: str = ""
    device: str = ""
    fusion: str = ""
    input_topic: str = ""
    frames: FrameStatus = field(default_factory=FrameStatus)
    ground: GroundStatus = field(default_factory=GroundStatus)
    cameras: tuple[Status, ...] = ()

    def summary(self) -> tuple[bytes, str]:
        """Return the diagnostic level and what to say with it, the worst first."""
        if self.cameras and not self.error:
            found = [(*camera.summary(), camera.camera) for camera in self.cameras]
            level, words, name = max(found, key=lambda entry: entry[0])
            if level != DiagnosticStatus.OK:
                # What is wrong with the node is wrong with each of its cameras.
                is_shared = all(said == words for _, said, _ in found)
                return level, words if is_shared else f"{name}: {words}"
        if error := self.error or self._stall() or self.frames.health.fault:
            return DiagnosticStatus.ERROR, error
        if warning := self._busy() or self._recent() or self._silence():
            return DiagnosticStatus.WARN, warning
        if self.warm_up and self.state == "configuring":
            return DiagnosticStatus.OK, f"configuring, warming up: {self.warm_up}"
        return DiagnosticStatus.OK, self.state

    def _stall(self) -> str:
        frames = self.frames
        if self.state == "active" and not frames.is_alive:
            return "the inference thread has ended; deactivate, clean up and configure again"
        if frames.seconds_in_work > frames.stall_timeout:
            return (
                f"inference hangs: a frame has been in work for {frames.seconds_in_work:.0f} s "
                f"(stall_timeout {frames.stall_timeout:g} s), {frames.counts.frames_in} frames "
                f"came and {frames.counts.out} were answered; restart the process if it stays so"
            )
        return ""

    def _busy(self) -> str:
        if not self.busy:
            return ""
        return (
            f"{self.state}, busy: an inference of before cleanup has run for {self.busy:.0f} s; "
            "its memory is freed when it returns"
        )

    def _recent(self) -> str:
        """Return what went wrong in the last seconds."""
        frames, lost = self.frames, self.frames.health.count("lost")
        dropped = self.ground.health.count("grid")
        if self.callbacks.seconds_ago < WARN_SECONDS:
            return self.callbacks.reason
        if frames.last_refusal.seconds_ago < WARN_SECONDS:
            return f"frames refused: {frames.last_refusal.reason}"
        if lost.seconds_ago < min(WARN_SECONDS, frames.seconds_active - QUIET_SECONDS):
            return f"{lost.number} frames were lost on the way; {transport_advice(os.environ)}"
        if stamps := self._stamps():
            return stamps
        if dropped.seconds_ago < WARN_SECONDS:
            return f"frames without a grid: {dropped.reason}"
        left_out = self.ground.health.newest(INPUTS)
        return left_out.reason if left_out.seconds_ago < WARN_SECONDS else ""

    def _silence(self) -> str:
        frames = self.frames
        if self.state != "active" or frames.seconds_since_arrival <= QUIET_SECONDS:
            return ""
        words = (
            f"no image on {self.input_topic} for {frames.seconds_since_arrival:.0f} s "
            f"({frames.publishers} publishers)"
        )
        return f"{words}; {_silence_advice(has_publisher=bool(frames.publishers))}"

    def _stamps(self) -> str:
        """Return what is wrong with the stamps of frames that were labelled nevertheless."""
        last = self.frames.health.newest(STAMP_KINDS)
        if last.seconds_ago >= WARN_SECONDS:
            return ""
        words = (
            f"{last.reason} ({last.number} frames): such frames have no grid, tracks or "
            "positions; let the camera's driver stamp each image with the time of its exposure"
        )
        # A simulation that is paused may go on to send pictures.
        return words if self.frames.clocks is None else f"{words}, and /clock go on"

    def values(self) -> dict[str, str]:
        """Return the keys with their values, all of them at all times."""
        frames, grid = self.frames, self.ground.health.count("grid")
        counts, health = frames.counts, frames.health
        latency = {**health.latency, **self.ground.health.latency}
        return {
            "state": self.state,
            "warm_up": self.warm_up,
            "busy_s": f"{self.busy:.1f}",
            "weights": self.weights,
            "device": self.device,
            "fusion": self.fusion,
            "input_topic": self.input_topic,
            "image_size": frames.size,
            "rate_hz": f"{health.rate:.2f}",
            "frames_in": str(counts.frames_in),
            "frames_out": str(counts.out),
            "frames_dropped": str(counts.dropped),
            "frames_refused": str(counts.refused),
            "frames_waiting": str(counts.waiting),
            **{f"frames_{k}": str(health.count(k).number) for k in ("lost", *STAMP_KINDS)},
            **{f"refused_{k}": str(health.count(k).number) for k in KINDS},
            "last_refusal": frames.last_refusal.reason,
            "work_s": f"{frames.seconds_in_work:.1f}",
            "grids_out": str(self.ground.grids),
            "grids_dropped": str(grid.number + self.ground.replaced),
            "last_grid_drop": grid.reason,
            **{f"left_out_{i}": str(self.ground.health.count(i).number) for i in INPUTS},
            "last_left_out": self.ground.health.newest(INPUTS).reason,
            "callback_errors": str(self.callbacks.number),
            "last_callback_error": self.callbacks.reason,
            **{
                f"latency_{stage}_{name}_ms": f"{getattr(value, name):.2f}"
                for stage, value in latency.items()
                for name in ("p50", "p95")
            },
            "latency_hint": frames.latency_hint,
        }

    def line(self, before: FrameCounts) -> str:
        """Return the log's line about the frames since an earlier count."""
        of = f"{self.camera}: " if self.camera else ""
        now, health = self.frames.counts, self.frames.health
        if before.frames_in > now.frames_in:
            # Configured again since, and counting anew.
            before = FrameCounts()
        age, total, inference = (health.latency[k] for k in ("age", "total", "inference"))
        if math.isnan(total.p50):
            latency = "no frame answered"
        else:
            latency = (
                f"latency {age.p50:.0f} ms (p95 {age.p95:.0f})"
                if not self.frames.clock_gap
                else f"latency unknown ({self.frames.latency_hint}), since arrival "
                f"{total.p50:.0f} ms (p95 {total.p95:.0f})"
            )
            latency += f", of which inference {inference.p50:.0f} ms (p95 {inference.p95:.0f})"
        return (
            f"{of}{health.rate:.1f} frames/s, {latency}; "
            f"in {now.frames_in - before.frames_in}, out {now.out - before.out}, "
            f"dropped {now.dropped - before.dropped}, refused {now.refused - before.refused}"
        )


def status_of_all(cameras: Sequence[Status]) -> Status:
    """Return the status of a node with several cameras: their frames and grids added up."""
    frames, grounds = [c.frames for c in cameras], [c.ground for c in cameras]
    counts = [astuple(each.counts) for each in frames]
    return replace(
        cameras[0],
        camera="",
        input_topic=", ".join(camera.input_topic for camera in cameras),
        frames=FrameStatus(
            publishers=sum(each.publishers for each in frames),
            counts=FrameCounts(*(sum(numbers) for numbers in zip(*counts, strict=True))),
            health=added([each.health for each in frames]),
            seconds_in_work=frames[0].seconds_in_work,
        ),
        ground=GroundStatus(
            grids=sum(each.grids for each in grounds),
            replaced=sum(each.replaced for each in grounds),
            health=added([each.health for each in grounds]),
        ),
        cameras=tuple(cameras),
    )


def transport_advice(environment: Mapping[str, str]) -> str:
    """Return what to do where large images are lost, by the middleware and its variables."""
    reliable = "set qos.reliability:=reliable where the camera is reliable"
    if not _uses_fast_dds():
        return f"enlarge the system's socket buffers (net.core.rmem_max), or {reliable}"
    profiles = profiles_variable(environment)
    if not environment.get(profiles):
        return (
            f"set {profiles}={profiles_file()}, not {BUILTIN}, for camera and node, or {reliable}"
        )
    return (
        f"set {profiles}={environment[profiles]} for the camera's process too, send fewer or "
        f"compressed images, or {reliable}"
    )


def _silence_advice(*, has_publisher: bool) -> str:
    """Return what to do where nothing arrives."""
    if not has_publisher:
        names = f"ROS_DOMAIN_ID, RMW_IMPLEMENTATION{f', {BUILTIN}' if _uses_fast_dds() else ''}"
        return f"compare its name with `ros2 topic list`, and {names} with the camera's"
    advice = transport_advice(os.environ)
    if not _uses_fast_dds():
        return advice
    both = f"unset {profiles_variable(os.environ)}, set {BUILTIN}=UDPv4 for both, and reliable"
    return f"{advice}; another user's camera shares no memory: {both}"


def _uses_fast_dds() -> bool:
    return get_rmw_implementation_identifier().startswith("rmw_fastrtps")


class Reporter:
    """Publish a node's status each second and log a line each ten while it is active.

    It has a thread of its own: it must report while a model loads or a transition waits
    for the frame in work, when the executor's timers stand still.
    """

    def __init__(self, node: Node, status: Callable[[], Status]) -> None:
        self._node = node
        self._status = status
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reporting."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        logged: dict[str, FrameCounts] = {}
        active_beats, pause = 0, LogPause(LOG_EVERY * PERIOD_SECONDS)
        while not self._closing.wait(PERIOD_SECONDS):
            try:
                status = self._status()
                self._publish(status)
                active_beats = active_beats + 1 if status.state == "active" else 0
                for camera in status.cameras or (status,):
                    counts = camera.frames.counts
                    if active_beats and active_beats % LOG_EVERY == 0:
                        before = logged.get(camera.camera, FrameCounts())
                        self._node.get_logger().info(camera.line(before))
                    if active_beats % LOG_EVERY == 0:
                        logged[camera.camera] = counts
            # The reporter must survive every error.
            except Exception as error:
                if pause.is_due("status"):
                    words = f"no diagnostics this second: {type(error).__name__}: {error}"
                    self._node.get_logger().error(one_line(words))

    def _publish(self, status: Status) -> None:
        entries = [self._entry(each) for each in (status, *status.cameras)]
        array = DiagnosticArray(status=entries)
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _entry(self, status: Status) -> DiagnosticStatus:
        level, message = status.summary()
        about = f"camera {status.camera}" if status.camera else "panoptic"
        return DiagnosticStatus(
            level=level,
            name=f"{self._node.get_fully_qualified_name()[1:]}: {about}",
            message=one_line(message),
            hardware_id=one_line(status.device),
            values=[KeyValue(key=k, value=one_line(v)) for k, v in status.values().items()],
        )
