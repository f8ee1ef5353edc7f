"""The node's second half: frames that have their labels are placed on the ground."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rclpy.node import Node
from rclpy.time import Time

from panoptic_ros.ground_stage import GroundStage, GroundView
from panoptic_ros.labels import LabelSet
from panoptic_ros.output_messages import GRID_OUTPUTS, GROUND_OUTPUTS, Answer, Placed
from panoptic_ros.ros.ground_inputs import GroundInputs, ViewMissing
from panoptic_ros.ros.outputs import Outputs
from panoptic_ros.ros.parameters import Parameters
from panoptic_ros.stream.statistics import FrameStatistics, Latency
from panoptic_ros.stream.worker import GroundWorker

# What needs a place on the ground; instances have mask and track without one.
_PLACED = frozenset({*GRID_OUTPUTS, "markers"})
# ground_wait: for TF, odometry, depth, points; ground: grid and tracks; ground_publish: to
# messages and out. Milliseconds.
GROUND_STAGES = ("ground_wait", "ground", "ground_publish")
_WARN_SECONDS = 5.0


@dataclass(frozen=True)
class GroundStatus:
    """Count frames on the ground since `configure`.

    grids: that were made; dropped: without a grid though somebody wanted one, or given up for a
    newer frame; last_drop: why; seconds_since_drop: infinite where there was none.
    """

    grids: int = 0
    dropped: int = 0
    last_drop: str = ""
    seconds_since_drop: float = math.inf
    latency: dict[str, Latency] = field(
        default_factory=lambda: dict.fromkeys(GROUND_STAGES, Latency())
    )


class Ground:
    """Place answers on the ground in a thread of its own, and publish `GROUND_OUTPUTS`.

    The label image is out before, and no wait here holds up the next one. Frames are worked on
    while somebody subscribes to one of the outputs: all of them then, for the grid and the
    tracks need every frame. settings: returns the parameters of now; track_ids: lasts for the
    node's life.
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
        self._inputs: GroundInputs | None = None
        self._stage: GroundStage | None = None
        self._grids = self._failed = 0
        self._last_drop, self._drop_time = "", -math.inf
        self._statistics = FrameStatistics(stages=GROUND_STAGES)
        self._worker: GroundWorker[Answer] = GroundWorker(self._work, self._on_error)

    def start(self, labels: LabelSet) -> None:
        """Subscribe and accept answers, without a memory of earlier ones."""
        settings = self._settings().ground
        self._stage = GroundStage(labels, settings.options(), self._track_ids)
        self._inputs = GroundInputs(self._node, settings)
        self._statistics.reset()
        self._worker.resume()
        if not self._stage.has_tracker:
            self._node.get_logger().warning(
                "the Python library trackers cannot be imported: instances have no track_id and "
                "~/markers is empty"
            )

    def pause(self) -> None:
        """Drop what waits and stop subscribing; nothing is published once this returns."""
        self._worker.pause()
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None

    def stop(self, timeout: float | None = None) -> bool:
        """End the thread; return whether it has ended within so many seconds (None: any)."""
        return self._worker.stop(timeout)

    def time_restarts(self) -> None:
        """Forget what TF said of later times; the stage notices by itself."""
        if self._inputs is not None:
            self._inputs.forget_transforms()

    def offer(self, answer: Answer) -> None:
        """Leave an answer for the thread, if somebody subscribes."""
        if self._outputs.wanted(GROUND_OUTPUTS, self._settings().outputs):
            self._worker.offer(answer)

    def status(self) -> GroundStatus:
        """Return a snapshot."""
        return GroundStatus(
            grids=self._grids,
            dropped=self._failed + self._worker.slot.counts().dropped,
            last_drop=self._last_drop,
            seconds_since_drop=time.monotonic() - self._drop_time,
            latency=self._statistics.latency(),
        )

    # ---- in the worker's thread

    def _work(self, answer: Answer) -> Callable[[], None]:
        """Place an answer; return what publishes it."""
        inputs, stage = self._inputs, self._stage
        if inputs is None:
            # Deactivated since the answer was taken: its publication will be dropped.
            return lambda: None
        enabled = self._settings()
        wanted = self._outputs.wanted(GROUND_OUTPUTS, enabled.outputs)
        start = time.monotonic()
        view = self._view(inputs, answer, wanted)
        found = time.monotonic()
        result = stage(
            answer.result.panoptic,
            time_ns=Time.from_msg(answer.header.stamp).nanoseconds,
            view=view,
            image=answer.image,
            class_probabilities="grid_layers" in wanted,
        )
        done = time.monotonic()
        if result.problem:
            self._drop(result.problem)
        times = {"ground_wait": found - start, "ground": done - found}
        placed = Placed(answer, result, stage.window, inputs.odom_frame)
        return lambda: self._publish(placed, wanted, times)

    def _view(self, inputs: GroundInputs, answer: Answer, wanted: set[str]) -> GroundView | None:
        """Return what is known of a frame; None, counted where a grid was wanted."""
        stamp_ns = Time.from_msg(answer.header.stamp).nanoseconds
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
        self._statistics.add({stage: seconds * 1e3 for stage, seconds in times.items()})

    def _on_error(self, error: Exception) -> None:
        self._drop(f"{type(error).__name__}: {error}")

    def _drop(self, reason: str) -> None:
        self._failed += 1
        self._last_drop, self._drop_time = reason, time.monotonic()
        self._node.get_logger().warning(
            f"no grid for a frame: {reason}", throttle_duration_sec=_WARN_SECONDS
        )
