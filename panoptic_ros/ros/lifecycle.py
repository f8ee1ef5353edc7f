"""The lifecycle node: camera topic in, panoptic topics out."""

from __future__ import annotations

import gc
import itertools
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from rclpy.time import Time

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.output_messages import Answer
from panoptic_ros.pipeline import PanopticPipeline, PanopticResult, fusion_or_stack
from panoptic_ros.ros import parameters
from panoptic_ros.ros.diagnostics import Reporter, Status
from panoptic_ros.ros.ground import Ground
from panoptic_ros.ros.image_input import decode, subscribe
from panoptic_ros.ros.outputs import Outputs
from panoptic_ros.stream.frame_worker import MEMORY_RETRY_SECONDS, FrameWork, FrameWorker
from panoptic_ros.stream.refusals import Refusal

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE

_MEMORY_ADVICE = "use a smaller input, cheaper weights or device:=cpu, or end other GPU programs"


class PanopticNode(LifecycleNode):
    """Run the panoptic pipeline on a camera's frames.

    Topics: camera.py, ground_inputs.py and outputs.py; parameters: parameters.py; health:
    diagnostics.py.
    Callbacks never wait for the networks, which run in the worker's thread, so that services
    answer. While active, every frame that is not replaced is worked on, whether or not
    somebody subscribes (deactivate to rest the GPU); outputs are converted on demand.
    Raise ValueError for a bad parameter at start.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__("panoptic", **node_options)
        self._settings = parameters.declare(self)
        self._state = "unconfigured"
        self._error = ""
        self._worker: FrameWorker | None = None
        self._outputs: Outputs | None = None
        self._ground: Ground | None = None
        self._track_ids = itertools.count(1)
        # What the model file asks for, where the parameters leave the choice to it.
        self._model_fusion: tuple[str, FusionOptions] = ("", FusionOptions())
        self._subscription: Subscription | None = None
        self._image_size = ""
        self._lost, self._lost_time = 0, -math.inf
        self.add_on_set_parameters_callback(self._on_parameters)
        self._reporter = Reporter(self, self._status)
        if self._settings.autostart:
            # On a steady clock: simulated time may not run yet.
            clock = Clock(clock_type=ClockType.STEADY_TIME)
            self._autostart_timer = self.create_timer(0.0, self._autostart, clock=clock)

    def close(self, timeout: float) -> bool:
        """End all threads; return whether the frame in work was done within the timeout.

        timeout: seconds. To be called from outside the executor, before the context ends.
        """
        self._reporter.close()
        ends = [part.stop(timeout) for part in (self._worker, self._ground) if part is not None]
        return all(ends)

    # ---- lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the networks and announce the output topics."""
        self._state, self._error = "configuring", ""
        # rclpy swallows what a transition raises, so everything must be told here.
        try:
            self._configure()
        except torch.cuda.OutOfMemoryError as error:
            return self._refuse_to_configure(f"{error}; {_MEMORY_ADVICE}")
        except (OSError, RuntimeError, ValueError) as error:
            return self._refuse_to_configure(str(error))
        except Exception as error:
            return self._refuse_to_configure(f"{type(error).__name__}: {error}")
        self._state = "inactive"
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera."""
        result = super().on_activate(state)
        self._outputs.publish_label_info(self._worker.pipeline.labels)
        self._image_size = ""
        self._ground.start(self._worker.pipeline.labels)
        self._worker.resume()
        self._subscription = subscribe(self, self._settings, self._on_image, self._on_lost)
        self._state = "active"
        status = self._status()
        self.get_logger().info(
            f"device {status.device}, weights {status.weights}, fusion {status.fusion}, "
            f"input {status.input_topic} ({self._settings.image_transport}, "
            f"{self._settings.qos.reliability}), "
            f"camera pose from {self._settings.ground.camera_pose_source}"
        )
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop subscribing; the frame in work is dropped."""
        self._unsubscribe()
        self._state = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Withdraw the topics and free the networks' memory."""
        self._release()
        self._state = "unconfigured"
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do what deactivate and cleanup do, for good."""
        self._unsubscribe()
        self._release()
        self._state = "finalized"
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured after a transition that went wrong."""
        self._error = f"a transition from {state.label} failed; configure again"
        self.get_logger().error(self._error)
        self._unsubscribe()
        self._release()
        self._state = "unconfigured"
        return super().on_error(state)

    def _autostart(self) -> None:
        self.destroy_timer(self._autostart_timer)
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def _configure(self) -> None:
        chosen = self._settings
        pipeline = PanopticPipeline.load(chosen.weights, device=chosen.device)
        self._model_fusion = (pipeline.fusion_name, pipeline.options)
        wanted = fusion_or_stack(chosen.fusion, pipeline.head, chosen.weights)
        self._set_fusion(pipeline, replace(chosen, fusion=wanted))
        self._outputs = Outputs(self)
        self._ground = Ground(self, self._outputs, lambda: self._settings, self._track_ids)
        work = FrameWork(
            decode=decode,
            publish=self._publish,
            now_ns=lambda: self.get_clock().now().nanoseconds,
            on_refusal=self._on_refusal,
        )
        self._worker = FrameWorker(pipeline, work)

    def _refuse_to_configure(self, reason: str) -> TransitionCallbackReturn:
        self._state, self._error = "unconfigured", f"cannot configure: {reason}"
        self.get_logger().error(f"{self._error}. Set the parameter at fault and configure again")
        self._release()
        return FAILURE

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None
        if self._worker is not None:
            self._worker.pause()
        if self._ground is not None:
            self._ground.pause()

    def _release(self) -> None:
        if self._worker is not None:
            # No timeout: memory is free only once the frame in work is done.
            self._worker.stop()
            self._worker = None
        if self._ground is not None:
            self._ground.stop()
            self._ground = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        gc.collect()
        torch.cuda.empty_cache()

    # ---- frames

    def _on_image(self, message: Any) -> None:
        self._worker.offer(message, Time.from_msg(message.header.stamp).nanoseconds)

    def _on_lost(self, count: int) -> None:
        self._lost += count
        self._lost_time = time.monotonic()

    def _publish(self, message: Any, image: np.ndarray, result: PanopticResult) -> None:
        """Publish a frame's outputs; called in the worker's thread."""
        if not self._image_size:
            self._image_size = f"{image.shape[1]}x{image.shape[0]}"
            self.get_logger().info(f"first frame: {self._image_size} pixels")
        labels = result.semantic.labels
        answer = Answer(message.header, image, result, labels)
        self._outputs.publish(answer, self._settings.outputs)
        self._ground.offer(answer)

    def _on_refusal(self, refusal: Refusal) -> None:
        # rclpy's throttle counts per line of code, so each kind has a line.
        log, words = self.get_logger(), f"frame refused: {refusal.reason}"
        if refusal.kind == "image":
            log.warning(words, throttle_duration_sec=1.0)
        elif refusal.kind == "stamp":
            log.warning(f"{words}; state is reset", throttle_duration_sec=1.0)
            if self._ground is not None:
                self._ground.time_restarts()
        elif refusal.kind == "memory":
            pause = f"a frame is tried every {MEMORY_RETRY_SECONDS:.0f} s"
            log.error(f"{words}; {_MEMORY_ADVICE}; {pause}")
        else:
            log.error(words, throttle_duration_sec=1.0)

    # ---- parameters and health

    def _on_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        values = {p.name: p.value for p in changed}
        try:
            new = parameters.updated(self._settings, values, self._state)
            if self._worker is not None:
                self._set_fusion(self._worker.pipeline, new)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._settings = new
        return SetParametersResult(successful=True)

    def _set_fusion(self, pipeline: PanopticPipeline, chosen: parameters.Parameters) -> None:
        name, options = self._model_fusion
        pipeline.set_fusion(chosen.fusion or name, chosen.fusion_options(options))

    def _status(self) -> Status:
        """Return a snapshot; called in the reporter's thread too."""
        topic = self.resolve_topic_name("image")
        about = {"state": self._state, "error": self._error, "input_topic": topic}
        worker, ground = self._worker, self._ground
        if worker is None or ground is None:
            return Status(**about, weights=self._settings.weights)
        return Status(
            **about,
            weights=worker.pipeline.name,
            device=_device_name(worker.pipeline.device),
            fusion=worker.pipeline.fusion_name,
            image_size=self._image_size,
            publishers=self.count_publishers(topic),
            rate=worker.statistics.rate(),
            counts=worker.slot.counts(),
            lost=self._lost,
            seconds_since_loss=time.monotonic() - self._lost_time,
            seconds_since_frame=worker.seconds_since_arrival(),
            refused=worker.refusals.counts,
            last_refusal=worker.refusals.last,
            seconds_since_refusal=worker.refusals.seconds_since_last(),
            fault=worker.refusals.fault,
            latency=worker.statistics.latency(),
            ground=ground.status(),
        )


def _device_name(device: torch.device) -> str:
    """Return `cpu`, or the CUDA device with the name of its hardware."""
    if device.type != "cuda":
        return str(device)
    return f"{device} ({torch.cuda.get_device_name(device)})"
