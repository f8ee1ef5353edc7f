"""One camera of a session: from its topic to its slot, and from an answer to its outputs."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from panoptic_ros.image_region import ImageRegion
from panoptic_ros.labels import LabelSet
from panoptic_ros.messages.refusal import one_line
from panoptic_ros.output_messages import Answer
from panoptic_ros.ros.conversions import TRANSPORTS
from panoptic_ros.ros.diagnostics import KINDS, STAGES, STAMP_KINDS, FrameStatus, Status
from panoptic_ros.ros.ground import FusedGround, Ground
from panoptic_ros.ros.ground_inputs import VehicleInputs
from panoptic_ros.ros.outputs import Outputs
from panoptic_ros.ros.parameters import Parameters
from panoptic_ros.stream.health import HealthMonitor, LogPause
from panoptic_ros.stream.stamps import FramesUnderWay, SequenceGaps, StampMonitor, nanoseconds
from panoptic_ros.stream.worker import FrameSlot, RateCap

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

MEMORY_ADVICE = "use a smaller input, cheaper weights or device:=cpu, or end other GPU programs"
# Memory may come back (another program ends), so work goes on, but at a rate that neither
# floods the log nor troubles whoever holds the memory. Meanwhile frames replace each other.
MEMORY_RETRY_SECONDS = 5.0
# Images are this old at most, or of another clock. One that is of the future is, too; what two
# clocks that are kept together differ by aside.
_OLDEST_SECONDS, _FUTURE_SECONDS = 60.0, -0.1
_LOG_SECONDS = 1.0
_RELIABILITY = {
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
    "reliable": ReliabilityPolicy.RELIABLE,
}
# Kinds of refusals that speak of the node and not of its input.
_FAULTS = ("memory", "inference")


@dataclass
class Frame:
    """Hold a camera's message, its stamp, and when it arrived (time.monotonic(), seconds).

    ready: its picture, decoded and uploaded while another frame was in work; inferred: what the
    networks gave of it among others' frames.
    """

    camera: CameraStream
    message: Any
    stamp_ns: int
    arrival: float
    ready: Any = None
    inferred: Any = None


class CameraStream:
    """Leave a camera's newest image in a slot; publish its answer and pass it to the ground.

    name: "" for the only camera of a node, whose topics have no prefix; settings: the camera's
    parameters; region: the part of its images that the networks see; track_ids: last for the
    node's life; fused: the grid of all cameras, None for a node of one. It is silent until `start`.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        slot: FrameSlot[Any],
        settings: Parameters,
        region: ImageRegion | None,
        outputs: Outputs,
        track_ids: Iterator[int],
        fused: FusedGround | None,
    ) -> None:
        self.name, self.slot = name, slot
        self._node, self._settings, self.outputs = node, settings, outputs
        self._topic = f"{name}/image" if name else "image"
        self.region = region
        self.ground = Ground(node, name, outputs, settings, track_ids, fused)
        self.health = HealthMonitor(STAGES, (*KINDS, *STAMP_KINDS, "lost"), _FAULTS)
        self._log_pause = LogPause(_LOG_SECONDS)
        self._stamps = StampMonitor()
        self._under_way = FramesUnderWay()
        self._rate = RateCap()
        self.is_resting = False
        self._gaps = SequenceGaps()
        self._missing = self._reported = self._lost = 0
        self._subscription: Subscription | None = None
        self._size = ""
        # Of what the networks saw of the last frame, (height, width).
        self.seen = (0, 0)
        self._clock_gap = 0.0
        self._since = self._last_arrival = time.monotonic()

    # ---- as the session says

    def use(self, settings: Parameters, region: ImageRegion | None) -> None:
        """Do as the parameters say from the next frame on."""
        self._settings, self.region = settings, region
        self.ground.settings = settings

    def start(self, labels: LabelSet, vehicle: VehicleInputs) -> None:
        """Subscribe to the camera and the ground's inputs, without a memory of earlier frames."""
        self.ground.start(labels, self.region, vehicle, self._under_way)
        self._stamps = StampMonitor()
        # Nobody has lost what was sent while there was no subscription.
        self._gaps = SequenceGaps()
        self.health.restart()
        self._size = ""
        self.is_resting = False
        self._since = self._last_arrival = time.monotonic()
        self.slot.open()
        self._subscription = self._subscribe()

    def pause(self) -> None:
        """Stop subscribing; the frame in work is dropped. Nothing is published any more."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self.slot.close()
        self.ground.pause()

    def relabel(self, labels: LabelSet, vehicle: VehicleInputs) -> None:
        """Forget grid and tracks, whose classes are others now."""
        if self._subscription is not None:
            self.ground.pause()
            self.ground.start(labels, self.region, vehicle, self._under_way)

    def rest(self, is_resting: bool) -> None:
        """Drop frames before anything is computed of them, or go on."""
        self.is_resting = is_resting
        if is_resting:
            self.slot.drop_waiting()

    def status(self, status: Status, seconds_in_work: float, is_alive: bool) -> Status:
        """Return the node's status with the camera's; called in the reporter's thread.

        seconds_in_work, is_alive: of the worker.
        """
        topic = self._node.resolve_topic_name(self._topic)
        now = time.monotonic()
        return replace(
            status,
            camera=self.name,
            input_topic=topic,
            frames=FrameStatus(
                size=self._size,
                publishers=self._node.count_publishers(topic),
                counts=self.slot.counts(),
                health=self.health.snapshot(),
                seconds_active=now - self._since,
                seconds_since_arrival=now - self._last_arrival,
                seconds_in_work=seconds_in_work,
                stall_timeout=self._settings.stall_timeout,
                is_alive=is_alive,
                clock_gap=self._clock_gap,
                clocks=self._clocks(),
            ),
            ground=self.ground.status(),
        )

    def _clocks(self) -> int | None:
        """Return the number of publishers of /clock, None where the time is the system's."""
        if self._node.get_parameter("use_sim_time").value is not True:
            return None
        return int(self._node.count_publishers(self._node.resolve_topic_name("/clock")))

    # ---- in the executor's thread

    def _subscribe(self) -> Subscription:
        chosen = self._settings
        qos = QoSProfile(depth=chosen.qos.depth, reliability=_RELIABILITY[chosen.qos.reliability])
        kind = TRANSPORTS[chosen.image_transport]
        # The executor holds a subscription until its next turn, also one that is destroyed. It
        # must not hold the networks.
        own = weakref.proxy(self)

        def on_image(message: Any) -> None:
            own._on_image(message)

        def on_numbered_image(message: Any, info: Any) -> None:
            own._on_gap(info)
            own._on_image(message)

        # Humble passes no information about a message.
        callback = on_numbered_image if hasattr(Subscription, "CallbackType") else on_image
        create = self._node.create_subscription
        events = SubscriptionEventCallbacks(message_lost=lambda event: own._on_lost(event))
        try:
            return create(kind, self._topic, callback, qos, event_callbacks=events)
        except UnsupportedEventTypeError:
            return create(kind, self._topic, callback, qos)

    def _on_gap(self, info: Any) -> None:
        sender, number = info.get("publisher_gid"), info.get("publication_sequence_number")
        if sender is not None and number is not None:
            self._missing += self._gaps.missing(bytes(sender["data"]), number)
            self._count_lost()

    def _on_lost(self, event: Any) -> None:
        self._reported += event.total_count_change
        self._count_lost()

    def _count_lost(self) -> None:
        # The middleware reports what the network lost, also where no frame comes through, but
        # not what its full queue dropped. Gaps tell of both, but only between frames that come.
        lost = max(self._missing, self._reported)
        if lost > self._lost:
            self.health.count("lost", "lost on the way", lost - self._lost)
            self._lost = lost

    def _on_image(self, message: Any) -> None:
        self._last_arrival = time.monotonic()
        try:
            stamp_ns = nanoseconds(message.header.stamp)
        except ValueError as error:
            self.slot.refuse_arrival()
            self.refuse("stamp", str(error))
            return
        newest = self._stamps.newest
        step_back = self._stamps.step_back(stamp_ns)
        if step_back is not None:
            self.slot.refuse_arrival()
            self.slot.drop_waiting()
            self.health.restart()
            self.ground.time_restarts()
            self.refuse("stamp", f"stamp went back by {step_back:.1f} s; state is reset")
            return
        if newest is not None and stamp_ns <= newest:
            self._note_order(stamp_ns, newest)
        if self.is_resting or not self._rate.admits(self._last_arrival, self._settings.max_rate):
            self.slot.drop_arrival()
            return
        self._under_way.wait(stamp_ns)
        self.slot.put(Frame(self, message, stamp_ns, self._last_arrival))

    def _note_order(self, stamp_ns: int, newest: int) -> None:
        topic = self._node.resolve_topic_name(self._topic)
        if stamp_ns == newest:
            words = f"the stamps of {topic} stand still at {stamp_ns / 1e9:.3f} s"
            self.health.count("standing", words)
        else:
            late = (newest - stamp_ns) / 1e9
            self.health.count("overtaken", f"an image on {topic} is {late:.3f} s behind a newer")

    # ---- in the worker's thread

    def begin(self, frame: Frame) -> None:
        """Note that the networks take a frame."""
        self._under_way.begin(frame.stamp_ns)

    def publish(self, frame: Frame, answer: Answer, times: dict[str, float]) -> None:
        """Publish a frame's answer; times: seconds of the stages so far, wait to inference."""
        start = time.monotonic()
        self._note_size(f"{answer.image.shape[1]}x{answer.image.shape[0]}")
        self.seen = answer.result.semantic.image_size
        self.outputs.publish(answer, self._settings.outputs)
        self.ground.offer(answer)
        done = time.monotonic()
        times |= {
            "publish": done - start,
            "total": done - frame.arrival,
            "age": self._age(frame.stamp_ns),
        }
        self.health.settle({stage: seconds * 1e3 for stage, seconds in times.items()})

    def _age(self, stamp_ns: int) -> float:
        """Return how old a stamp is, seconds, NaN where it is of another clock."""
        age = (self._node.get_clock().now().nanoseconds - stamp_ns) / 1e9
        self._clock_gap = 0.0 if _FUTURE_SECONDS < age < _OLDEST_SECONDS else age
        return math.nan if self._clock_gap else age

    def _note_size(self, size: str) -> None:
        if size != self._size:
            what = "frames are now" if self._size else "first frame:"
            # Two cameras on one topic take turns.
            if not self._size or self._log_pause.is_due("size"):
                self._node.get_logger().info(f"{self._prefix}{what} {size} pixels")
            self._size = size

    def refuse(self, kind: str, reason: str) -> None:
        """Count and log a frame that has no answer; kind: one of KINDS."""
        is_new = self.health.count(kind, reason)
        log, words = self._node.get_logger(), f"{self._prefix}frame refused: {one_line(reason)}"
        if kind == "memory":
            if is_new:
                pause = f"a frame is tried every {MEMORY_RETRY_SECONDS:.0f} s"
                log.error(f"{words}; {MEMORY_ADVICE}; {pause}")
        elif self._log_pause.is_due(kind):
            if kind == "inference":
                log.error(words)
            else:
                log.warning(words)

    @property
    def _prefix(self) -> str:
        return f"{self.name}: " if self.name else ""
