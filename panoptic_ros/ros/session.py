"""What `configure` makes and `cleanup` drops: from the camera's topic to the published labels."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from panoptic_ros.messages import ImageRefused, decode_compressed
from panoptic_ros.messages.refusal import one_line
from panoptic_ros.output_messages import Answer
from panoptic_ros.pipeline import ImageUnfit, PanopticPipeline, PanopticResult
from panoptic_ros.ros.conversions import image_to_rgb
from panoptic_ros.ros.diagnostics import KINDS, STAGES, STAMP_KINDS, FrameStatus, Status
from panoptic_ros.ros.ground import Ground
from panoptic_ros.ros.outputs import Outputs
from panoptic_ros.ros.parameters import Parameters
from panoptic_ros.ros.served_model import ServedModel
from panoptic_ros.stream.health import HealthMonitor
from panoptic_ros.stream.rate_cap import RateCap
from panoptic_ros.stream.stamps import SequenceGaps, StampMonitor, nanoseconds
from panoptic_ros.stream.worker import NewestFrameWorker

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
_INPUTS = {
    "raw": (Image, image_to_rgb),
    "compressed": (CompressedImage, decode_compressed),
}
_RELIABILITY = {
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
    "reliable": ReliabilityPolicy.RELIABLE,
}
# Kinds of refusals that speak of the node and not of its input.
_FAULTS = ("memory", "inference")


@dataclass(frozen=True)
class _Frame:
    """Hold a message, its stamp, and when it arrived (time.monotonic(), seconds)."""

    message: Any
    stamp_ns: int
    arrival: float


class Session:
    """Take the newest image, run the pipeline on it, publish, and pass it to the ground.

    settings: returns the parameters of now; track_ids: last for the node's life. Making one
    loads the networks and announces the topics; raise OSError, RuntimeError or ValueError where
    that fails. It is silent until `start`.
    """

    def __init__(
        self,
        node: LifecycleNode,
        settings: Callable[[], Parameters],
        track_ids: Iterator[int],
    ) -> None:
        chosen = settings()
        self._node, self._settings = node, settings
        self._model = ServedModel(chosen)
        self._outputs = Outputs(node)
        self._tell_of_absent_outputs()
        self._ground = Ground(node, self._outputs, settings, track_ids)
        self.health = HealthMonitor(STAGES, (*KINDS, *STAMP_KINDS, "lost"), _FAULTS)
        self._stamps = StampMonitor()
        self._rate = RateCap()
        self.is_resting = False
        self._gaps = SequenceGaps()
        self._missing = self._reported = self._lost = 0
        self._subscription: Subscription | None = None
        self._size = ""
        self._clock_gap = 0.0
        self._since = self._last_arrival = time.monotonic()
        self.worker: NewestFrameWorker[_Frame] = NewestFrameWorker(
            "inference", self._work, self._on_error
        )

    @property
    def pipeline(self) -> PanopticPipeline:
        """The networks that the next frame meets."""
        return self._model.pipeline

    @property
    def weights(self) -> str:
        """The value of the parameter `weights` that the model in use was loaded by."""
        return self._model.weights

    # ---- as the node says

    def start(self) -> None:
        """Subscribe to the camera and the ground's inputs, without a memory of earlier frames."""
        self._publish_infos()
        self._ground.start(self.pipeline.labels, self.pipeline.region)
        self._stamps.reset()
        self.health.restart()
        self._size = ""
        self.is_resting = False
        self._since = self._last_arrival = time.monotonic()
        self.worker.resume()
        self._subscription = self._subscribe()

    def pause(self) -> None:
        """Stop subscribing; the frame in work is dropped. Nothing is published any more."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self.worker.pause()
        self._ground.pause()

    def close(self, timeout: float) -> bool:
        """Withdraw the topics and end the threads; return whether they have, within seconds.

        Threads that go on end with the frame in work, see `is_busy`.
        """
        self.pause()
        self._outputs.close()
        return self.end(timeout)

    def end(self, timeout: float) -> bool:
        """End the threads only, from outside of the executor; return whether they have."""
        return all([self.worker.stop(timeout), self._ground.stop(timeout)])

    def is_busy(self) -> bool:
        """Return whether a thread still runs."""
        return self.worker.is_alive() or self._ground.is_alive()

    def use(self, chosen: Parameters) -> None:
        """Do as the parameters say from the next frame on; raise ValueError if impossible."""
        self._model.use(chosen)

    def take_over(self, model: ServedModel) -> None:
        """Work with another model from the next frame on; raise ValueError if impossible."""
        # The parameters may have changed while it was loaded.
        model.use(self._settings())
        old, self._model = self._model, model
        self._publish_infos()
        if self._subscription is not None and old.pipeline.labels != model.pipeline.labels:
            self._ground.pause()
            self._ground.start(model.pipeline.labels, model.pipeline.region)

    def rest(self, is_resting: bool) -> None:
        """Drop frames before anything is computed of them, or go on."""
        self.is_resting = is_resting
        if is_resting:
            self.worker.slot.drop_waiting()

    def status(self, state: str) -> Status:
        """Return a snapshot; called in the reporter's thread."""
        topic = self._node.resolve_topic_name("image")
        now = time.monotonic()
        return Status(
            "paused" if self.is_resting and state == "active" else state,
            weights=self.pipeline.name,
            device=_device_name(self.pipeline.device),
            fusion=self.pipeline.fusion_name,
            input_topic=topic,
            frames=FrameStatus(
                size=self._size,
                publishers=self._node.count_publishers(topic),
                counts=self.worker.slot.counts(),
                health=self.health.snapshot(),
                seconds_active=now - self._since,
                seconds_since_arrival=now - self._last_arrival,
                seconds_in_work=self.worker.seconds_in_work(),
                stall_timeout=self._settings().stall_timeout,
                is_alive=self.worker.is_alive(),
                clock_gap=self._clock_gap,
            ),
            ground=self._ground.status(),
        )

    def _publish_infos(self) -> None:
        model, encoding = self._model, self._settings().labels_encoding
        self._outputs.publish_infos(model.label_map.labels, model.pipeline.options, encoding)

    def _tell_of_absent_outputs(self) -> None:
        enabled = self._settings().outputs
        for package, names in self._outputs.absent().items():
            wanted = sorted(f"~/{name}" for name in names if getattr(enabled, name, True))
            if any(getattr(enabled, name, False) for name in names):
                words = f"{package} is not installed: there is no {', '.join(wanted)}"
                self._node.get_logger().info(words)

    # ---- in the executor's thread

    def _subscribe(self) -> Subscription:
        chosen = self._settings()
        qos = QoSProfile(depth=chosen.qos.depth, reliability=_RELIABILITY[chosen.qos.reliability])
        kind, _ = _INPUTS[chosen.image_transport]
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
            return create(kind, "image", callback, qos, event_callbacks=events)
        except UnsupportedEventTypeError:
            return create(kind, "image", callback, qos)

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
            self.worker.slot.refuse_arrival()
            self._refuse("stamp", str(error))
            return
        newest = self._stamps.newest
        step_back = self._stamps.step_back(stamp_ns)
        if step_back is not None:
            self.worker.slot.refuse_arrival()
            self.worker.slot.drop_waiting()
            self.health.restart()
            self._ground.time_restarts()
            self._refuse("stamp", f"stamp went back by {step_back:.1f} s; state is reset")
            return
        if newest is not None and stamp_ns <= newest:
            self._note_order(stamp_ns, newest)
        if self.is_resting or not self._rate.admits(self._last_arrival, self._settings().max_rate):
            self.worker.slot.drop_arrival()
            return
        self.worker.offer(_Frame(message, stamp_ns, self._last_arrival))

    def _note_order(self, stamp_ns: int, newest: int) -> None:
        topic = self._node.resolve_topic_name("image")
        if stamp_ns == newest:
            words = f"the stamps of {topic} stand still at {stamp_ns / 1e9:.3f} s"
            self.health.count("standing", words)
        else:
            late = (newest - stamp_ns) / 1e9
            self.health.count("overtaken", f"an image on {topic} is {late:.3f} s behind a newer")

    # ---- in the worker's thread

    def _work(self, frame: _Frame) -> Callable[[], None]:
        """Run the pipeline on a frame; return what publishes the answer."""
        taken, model = time.monotonic(), self._model
        image = self._decode(frame.message, model.pipeline.max_pixels)
        decoded = time.monotonic()
        result = self._infer(image, model)
        times = {
            "wait": taken - frame.arrival,
            "decode": decoded - taken,
            **{name: result.timings[name] / 1e3 for name in ("semantic", "instances", "fusion")},
            "inference": time.monotonic() - decoded,
        }
        return lambda: self._publish(frame, image, result, model, times)

    def _decode(self, message: Any, max_pixels: int) -> np.ndarray:
        for kind, decode in _INPUTS.values():
            if isinstance(message, kind):
                return decode(message, max_pixels)
        raise TypeError(f"no decoder for {type(message).__name__}")

    def _infer(self, image: np.ndarray, model: ServedModel) -> PanopticResult:
        try:
            return model.pipeline.run(image)
        except ImageUnfit as error:
            raise ImageRefused(str(error)) from error

    def _publish(
        self,
        frame: _Frame,
        image: np.ndarray,
        result: PanopticResult,
        model: ServedModel,
        times: dict[str, float],
    ) -> None:
        start = time.monotonic()
        self._note_size(f"{image.shape[1]}x{image.shape[0]}")
        settings = self._settings()
        answer = Answer(
            frame.message.header,
            image,
            result,
            model.pipeline.labels,
            model.label_map.only(model.pipeline.options.classes),
            settings.labels_encoding,
        )
        self._outputs.publish(answer, settings.outputs)
        self._ground.offer(answer)
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
            self._node.get_logger().info(f"{what} {size} pixels")
            self._size = size

    def _on_error(self, error: BaseException) -> Callable[[], None] | None:
        if isinstance(error, ImageRefused):
            self._refuse("image", str(error))
            return None
        if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
            self._refuse("memory", f"{type(error).__name__}: {error}")
            return self._wait_for_memory
        self._refuse("inference", f"{type(error).__name__}: {error}")
        return None

    def _wait_for_memory(self) -> None:
        torch.cuda.empty_cache()
        self.worker.rest(MEMORY_RETRY_SECONDS)

    def _refuse(self, kind: str, reason: str) -> None:
        is_new = self.health.count(kind, reason)
        # rclpy's throttle counts per line of code, so each kind has a line.
        log, words = self._node.get_logger(), f"frame refused: {one_line(reason)}"
        if kind == "image":  # noqa: SIM114
            log.warning(words, throttle_duration_sec=1.0)
        elif kind == "stamp":
            log.warning(words, throttle_duration_sec=1.0)
        elif kind == "inference":
            log.error(words, throttle_duration_sec=1.0)
        elif is_new:
            pause = f"a frame is tried every {MEMORY_RETRY_SECONDS:.0f} s"
            log.error(f"{words}; {MEMORY_ADVICE}; {pause}")


def _device_name(device: torch.device) -> str:
    """Return `cpu`, or the CUDA device with the name of its hardware."""
    if device.type != "cuda":
        return str(device)
    return f"{device} ({torch.cuda.get_device_name(device)})"
