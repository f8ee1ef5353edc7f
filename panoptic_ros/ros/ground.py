"""The node's second half: from labelled frames to grid and tracks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from rclpy.node import Node

from panoptic_ros.grid.fused_grid import FusedGrid
from panoptic_ros.grid.mapper import GroundFrame
from panoptic_ros.ground_stage import GroundStage, GroundView, motions_of
from panoptic_ros.image_region import ImageRegion
from panoptic_ros.labels import LabelSet
from panoptic_ros.messages.refusal import one_line
from panoptic_ros.output_messages import (
    BOX_OUTPUTS,
    DYNAMIC_OUTPUTS,
    GRID_OUTPUTS,
    GROUND_OUTPUTS,
    POINTS,
    Answer,
    Placed,
)
from panoptic_ros.ros.ground_inputs import GroundInputs, VehicleInputs, ViewMissing
from panoptic_ros.ros.outputs import Outputs
from panoptic_ros.ros.parameters import Parameters
from panoptic_ros.stream.health import Health, HealthMonitor, Latency, LogPause
from panoptic_ros.stream.stamps import FramesUnderWay, nanoseconds
from panoptic_ros.stream.worker import NewestFrameWorker

# What needs a place on the ground; instances have mask and track without one.
_PLACED = frozenset({*GRID_OUTPUTS, *BOX_OUTPUTS, POINTS})
# ground_wait: for TF, odometry, depth, points; ground: grid and tracks; ground_publish: to
# messages and out. Milliseconds.
GROUND_STAGES = ("ground_wait", "ground", "ground_publish")
_WARN_SECONDS = 5.0


# What is counted: frames without a grid, and inputs that are left out, by topic.
INPUTS = ("odom", "depth", "points")
KINDS = ("grid", *INPUTS)


@dataclass(frozen=True)
class GroundStatus:
    """Count frames on the ground since `configure`.

    grids: that were made; replaced: given up for a newer one; health: those without a grid
    though somebody wanted one, and messages of other sensors that were left out.
    """

    grids: int = 0
    replaced: int = 0
    health: Health = field(
        default_factory=lambda: Health(latency=dict.fromkeys(GROUND_STAGES, Latency()))
    )


class FusedGround:
    """Publish the grids of all cameras together. Safe across threads.

    settings: the node's parameters, an attribute. A camera's grid comes first.
    """

    def __init__(self, outputs: Outputs, settings: Parameters) -> None:
        self._outputs, self.settings = outputs, settings
        self._grid: FusedGrid | None = None
        self._odom_frame = ""
        # Held until a grid is out, so that the stamps of what is published never fall.
        self._lock = threading.Lock()

    def start(self, labels: LabelSet) -> None:
        """Begin without a memory."""
        options = self.settings.ground.options()
        with self._lock:
            self._grid = FusedGrid(labels, options.window, options.grid, options.dynamic)

    def wanted(self) -> set[str]:
        """Return the outputs that somebody subscribes to."""
        return self._outputs.wanted(GRID_OUTPUTS, self.settings.outputs)

    def take(self, camera: str, placed: Placed) -> None:
        """Take in what a camera's grid was made of; publish the grids if it is the newest.

        Raise ValueError where its stamp does not fit the other cameras'.
        """
        wanted, enabled = self.wanted(), self.settings.ground.dynamic.enabled
        frame, view = placed.ground.frame, placed.view
        if not wanted or frame is None or view is None:
            return
        time_ns = nanoseconds(placed.answer.header.stamp)
        with self._lock:
            grid = self._grid
            if grid is not None and placed.odom_frame != self._odom_frame:
                grid.reset()
                self._odom_frame = placed.odom_frame
            motions = None
            if enabled and not wanted.isdisjoint(DYNAMIC_OUTPUTS):
                motions = motions_of(placed.ground.tracks)
            if grid is None or not grid.update(
                camera, frame.observation, view.pose, time_ns, motions
            ):
                return
            layers = grid.layers(class_probabilities="grid_layers" in wanted)
            fused = GroundFrame(frame.observation, layers)
            moving = grid.dynamic_layers()
            ground = replace(placed.ground, frame=fused, tracks=[], dynamic=moving)
            self._outputs.publish_placed(replace(placed, ground=ground), wanted)


class Ground:
    """Place answers on the ground in a thread of its own, and publish `GROUND_OUTPUTS`.

    The label image is published before; waiting here does not delay the next one. Frames are
    processed while any of the outputs has a subscriber, then all of them: grid and tracks need
    every frame. camera: "" for the only one; settings: its parameters, an attribute;
    track_ids: lasts for the node's life; fused: the grid of all cameras, if there are several.
    """

    def __init__(
        self,
        node: Node,
        camera: str,
        outputs: Outputs,
        settings: Parameters,
        track_ids: Iterator[int],
        fused: FusedGround | None,
    ) -> None:
        self._node = node
        self._camera, self._fused = camera, fused
        self._outputs = outputs
        self.settings = settings
        self._track_ids = track_ids
        # While active.
        self._live: tuple[GroundStage, GroundInputs] | None = None
        self._odom_frame = ""
        self._grids = 0
        self._health = HealthMonitor(GROUND_STAGES, KINDS)
        self._log_pause = LogPause(_WARN_SECONDS)
        self.worker: NewestFrameWorker[Answer] = NewestFrameWorker(
            "ground", self._work, self._on_error
        )

    def start(
        self,
        labels: LabelSet,
        region: ImageRegion | None,
        vehicle: VehicleInputs,
        frames: FramesUnderWay,
    ) -> None:
        """Subscribe and accept answers, without a memory of earlier ones.

        region: the pixels that have labels, None: all; vehicle: what all cameras share; frames:
        whose answers will be offered.
        """
        settings = self.settings.ground
        options = settings.options()
        options = replace(options, projection=replace(options.projection, region=region))
        stage = GroundStage(labels, options, self._track_ids)
        inputs = GroundInputs(self._node, self._camera, settings, vehicle, frames, self._left_out)
        self._live = (stage, inputs)
        self._odom_frame = vehicle.motion.frame
        self._health.restart()
        self.worker.resume()
        if not stage.has_tracker:
            self._node.get_logger().warning(
                "the Python library trackers cannot be imported: instances have no track_id and "
                "~/markers is empty"
            )

    def pause(self) -> None:
        """Drop what waits and stop subscribing; nothing is published once this returns."""
        self.worker.pause()
        if self._live is not None:
            self._live[1].close()
            self._live = None

    def time_restarts(self) -> None:
        """Forget TF's later transforms; the stage detects the jump itself."""
        if self._live is not None:
            self._live[1].vehicle.forget_transforms()

    def offer(self, answer: Answer) -> None:
        """Leave an answer for the thread, if somebody subscribes."""
        if self._wanted() or self._is_fused():
            self.worker.slots[0].put(answer)

    def status(self) -> GroundStatus:
        """Return a snapshot."""
        return GroundStatus(
            grids=self._grids,
            replaced=self.worker.slots[0].counts().dropped,
            health=self._health.snapshot(),
        )

    # ---- in the worker's thread

    def _work(self, answer: Answer) -> Callable[[], None]:
        """Place an answer; return what publishes it."""
        live = self._live
        if live is None:
            # Deactivated since the answer was taken: its publication will be dropped.
            return lambda: None
        stage, inputs = live
        wanted = self._wanted()
        has_place = bool(wanted & _PLACED) or self._is_fused()
        start = time.monotonic()
        view = self._view(inputs, answer, has_place)
        found = time.monotonic()
        odom_frame = inputs.vehicle.motion.frame
        if odom_frame != self._odom_frame:
            stage.reset()
            self._odom_frame = odom_frame
        result = stage(
            answer.result.panoptic,
            time_ns=nanoseconds(answer.header.stamp),
            view=view,
            image=answer.image,
            class_probabilities="grid_layers" in wanted,
            dynamic=not wanted.isdisjoint(DYNAMIC_OUTPUTS),
            boxes=not wanted.isdisjoint(BOX_OUTPUTS),
        )
        done = time.monotonic()
        if result.jump:
            self._left_out("odom", f"{result.jump}: grid and tracks begin anew")
        if result.problem and view is not None and has_place:
            self._drop(result.problem)
        times = {"ground_wait": found - start, "ground": done - found}
        placed = Placed(answer, result, stage.window, odom_frame, view)
        return lambda: self._publish(placed, wanted, times)

    def _wanted(self) -> set[str]:
        return self._outputs.wanted(GROUND_OUTPUTS, self.settings.outputs)

    def _is_fused(self) -> bool:
        return self._fused is not None and bool(self._fused.wanted())

    def _view(self, inputs: GroundInputs, answer: Answer, has_place: bool) -> GroundView | None:
        """Return what is known of a frame; None, counted where a grid was wanted."""
        stamp_ns = nanoseconds(answer.header.stamp)
        try:
            return inputs.view(stamp_ns, answer.header.frame_id, answer.image.shape[:2])
        except ViewMissing as reason:
            if has_place:
                self._drop(str(reason))
            return None

    def _publish(self, placed: Placed, wanted: set[str], times: dict[str, float]) -> None:
        start = time.monotonic()
        self._outputs.publish_placed(placed, wanted)
        self._grids += placed.ground.frame is not None
        if self._fused is not None:
            try:
                self._fused.take(self._camera, placed)
            except ValueError as error:
                self._drop(str(error))
        times["ground_publish"] = time.monotonic() - start
        self._health.settle({stage: seconds * 1e3 for stage, seconds in times.items()})

    def _on_error(self, answer: Answer, error: BaseException) -> None:
        self._drop(f"{type(error).__name__}: {error}")

    def _left_out(self, topic: str, reason: str) -> None:
        self._warn(topic, f"{topic} left out: {reason}", f"{topic}{self._of} left out: {reason}")

    @property
    def _of(self) -> str:
        return f" of {self._camera}" if self._camera else ""

    def _drop(self, reason: str) -> None:
        self._warn("grid", reason, f"no grid for a frame{self._of}: {reason}")

    def _warn(self, kind: str, reason: str, words: str) -> None:
        """Count what went wrong, and log it in words."""
        self._health.count(kind, reason)
        if self._log_pause.is_due(kind):
            self._node.get_logger().warning(one_line(words))
