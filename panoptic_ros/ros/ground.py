"""The node's second half: from labelled frames to grid and tracks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from rclpy.node import Node

from panoptic_ros.ground_stage import GroundStage, GroundView
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
from panoptic_ros.ros.ground_inputs import GroundInputs, ViewMissing
from panoptic_ros.ros.outputs import Outputs
from panoptic_ros.ros.parameters import Parameters
from panoptic_ros.stream.health import Health, HealthMonitor, Latency
from panoptic_ros.stream.stamps import nanoseconds
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


class Ground:
    """Place answers on the ground in a thread of its own, and publish `GROUND_OUTPUTS`.

    The label image is published before; waiting here does not delay the next one. Frames are
    processed while any of the outputs has a subscriber, then all of them: grid and tracks need
    every frame. settings: returns the current parameters; track_ids: lasts for the node's life.
    """

    def __init__(
        self,
        node: Node,
        outputs: Outputs,
        settings: Callable[[], Parameters],
        track_ids: Iterator[int],
    ) -> None:
        self._node = node
        self._outputs = outputs
        self._settings = settings
        self._track_ids = track_ids
        # While active.
        self._live: tuple[GroundStage, GroundInputs] | None = None
        self._grids = 0
        self._health = HealthMonitor(GROUND_STAGES, KINDS)
        self._worker: NewestFrameWorker[Answer] = NewestFrameWorker(
            "ground", self._work, self._on_error
        )

    def start(self, labels: LabelSet, region: ImageRegion) -> None:
        """Subscribe and accept answers, without a memory of earlier ones.

        region: the pixels that have labels.
        """
        settings = self._settings().ground
        options = settings.options()
        options = replace(options, projection=replace(options.projection, region=region))
        stage = GroundStage(labels, options, self._track_ids)
        self._live = (stage, GroundInputs(self._node, settings, self._left_out))
        self._health.restart()
        self._worker.resume()
        if not stage.has_tracker:
            self._node.get_logger().warning(
                "the Python library trackers cannot be imported: instances have no track_id and "
                "~/markers is empty"
            )

    def pause(self) -> None:
        """Drop what waits and stop subscribing; nothing is published once this returns."""
        self._worker.pause()
        if self._live is not None:
            self._live[1].close()
            self._live = None

    def stop(self, timeout: float | None = None) -> bool:
        """End the thread; return whether it has ended within so many seconds (None: any)."""
        return self._worker.stop(timeout)

    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._worker.is_alive()

    def time_restarts(self) -> None:
        """Forget TF's later transforms; the stage detects the jump itself."""
        if self._live is not None:
            self._live[1].forget_transforms()

    def offer(self, answer: Answer) -> None:
        """Leave an answer for the thread, if somebody subscribes."""
        if self._outputs.wanted(GROUND_OUTPUTS, self._settings().outputs):
            self._worker.offer(answer)

    def status(self) -> GroundStatus:
        """Return a snapshot."""
        return GroundStatus(
            grids=self._grids,
            replaced=self._worker.slot.counts().dropped,
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
        enabled = self._settings()
        wanted = self._outputs.wanted(GROUND_OUTPUTS, enabled.outputs)
        start = time.monotonic()
        view = self._view(inputs, answer, wanted)
        found = time.monotonic()
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
        if result.problem and view is not None and wanted & _PLACED:
            self._drop(result.problem)
        times = {"ground_wait": found - start, "ground": done - found}
        placed = Placed(answer, result, stage.window, inputs.odom_frame, view)
        return lambda: self._publish(placed, wanted, times)

    def _view(self, inputs: GroundInputs, answer: Answer, wanted: set[str]) -> GroundView | None:
        """Return what is known of a frame; None, counted where a grid was wanted."""
        stamp_ns = nanoseconds(answer.header.stamp)
        try:
            return inputs.view(stamp_ns, answer.header.frame_id, answer.image.shape[:2])
        except ViewMissing as reason:
            if wanted & _PLACED:
                self._drop(str(reason))
            return None

    def _publish(self, placed: Placed, wanted: set[str], times: dict[str, float]) -> None:
        start = time.monotonic()
        self._outputs.publish_placed(placed, wanted)
        self._grids += placed.ground.frame is not None
        times["ground_publish"] = time.monotonic() - start
        self._health.settle({stage: seconds * 1e3 for stage, seconds in times.items()})

    def _on_error(self, error: BaseException) -> None:
        self._drop(f"{type(error).__name__}: {error}")

    def _left_out(self, topic: str, reason: str) -> None:
        self._health.count(topic, f"{topic} left out: {reason}")
        self._node.get_logger().warning(
            f"{topic} left out: {one_line(reason)}", throttle_duration_sec=_WARN_SECONDS
        )

    def _drop(self, reason: str) -> None:
        self._health.count("grid", reason)
        self._node.get_logger().warning(
            f"no grid for a frame: {one_line(reason)}", throttle_duration_sec=_WARN_SECONDS
        )
