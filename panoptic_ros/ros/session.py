"""What `configure` makes and `cleanup` drops: the networks, and the cameras that they serve."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image

from panoptic_ros.image_region import ImageRegion
from panoptic_ros.messages import ImageRefused
from panoptic_ros.output_messages import GRID_OUTPUTS, LABEL_INFO, OUTPUT_KINDS, VISION_INFO, Answer
from panoptic_ros.pipeline import (
    ImageUnfit,
    Inference,
    PanopticPipeline,
    PanopticResult,
    Uploaded,
)
from panoptic_ros.ros.camera_stream import MEMORY_RETRY_SECONDS, CameraStream, Frame
from panoptic_ros.ros.conversions import picture
from panoptic_ros.ros.diagnostics import Status, status_of_all
from panoptic_ros.ros.ground import FusedGround
from panoptic_ros.ros.ground_inputs import VehicleInputs
from panoptic_ros.ros.outputs import Outputs, absent_outputs
from panoptic_ros.ros.parameters import Parameters, RegionParameters
from panoptic_ros.ros.served_model import ServedModel
from panoptic_ros.stream.stamps import nanoseconds
from panoptic_ros.stream.worker import NewestFrameWorker

_INFOS = frozenset({LABEL_INFO, VISION_INFO})
# What several cameras have together; everything else is each one's own.
_SHARED_OUTPUTS = frozenset({*GRID_OUTPUTS, *_INFOS})
# Of each camera, and of the node for "": what was read, and what it gave.
_Regions = dict[str, tuple[RegionParameters, ImageRegion | None]]


@dataclass(frozen=True)
class _Ready:
    """Hold a picture that the networks can take, and what it was made for.

    decode: seconds that its decoding took; decoded: when that was done (time.monotonic()).
    """

    model: ServedModel
    region: ImageRegion | None
    max_pixels: int
    image: np.ndarray
    uploaded: Uploaded
    decode: float
    decoded: float


@dataclass(frozen=True)
class _Inferred:
    """Hold what a pass over several frames gave of one, and its times so far, in seconds."""

    ready: _Ready
    inference: Inference
    times: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class _Request:
    """Hold an image that is to be segmented by itself, and where its messages are waited for."""

    message: Image
    answered: Future[dict[str, Any]]


class Session:
    """Take the cameras' newest images in turn, run the pipeline on them, let them be published.

    chosen: the parameters of the node for "", and of each camera by its name, of none where a
    single one needs no name; track_ids: last for the node's life; tell: as for `ServedModel`.
    Making one loads the networks and announces the topics; raise OSError, RuntimeError or
    ValueError where that fails. It is silent until `start`.
    """

    def __init__(
        self,
        node: LifecycleNode,
        chosen: Mapping[str, Parameters],
        track_ids: Iterator[int],
        tell: Callable[[str], None],
    ) -> None:
        self._node, self._settings = node, chosen[""]
        self._model = ServedModel(self._settings, tell)
        names = [name for name in chosen if name] or [""]
        self._regions: _Regions = {}
        self._regions = self._read_regions(chosen)
        # While active.
        self._vehicle: VehicleInputs | None = None
        self._answered: Future[dict[str, Any]] | None = None
        self.cameras: list[CameraStream] = []
        # What fails half way, as topics that are remapped to one do, leaves nothing behind.
        with ExitStack() as undo:
            self._outputs = Outputs(node, OUTPUT_KINDS if "" in names else _SHARED_OUTPUTS)
            undo.callback(self._outputs.close)
            self._fused = None if "" in names else FusedGround(self._outputs, self._settings)
            self.worker: NewestFrameWorker[Frame | _Request] = NewestFrameWorker(
                "inference",
                self._work,
                self._on_error,
                len(names) + 1,
                self._joins,
                self._infer_together,
                self._make_ahead if self.pipeline.prepares_ahead else None,
            )
            undo.callback(self.worker.stop, 0.0)
            *slots, self._requests = self.worker.slots
            for name, slot in zip(names, slots, strict=True):
                own = OUTPUT_KINDS.keys() - _INFOS
                outputs = Outputs(node, own, name) if name else self._outputs
                undo.callback(outputs.close)
                camera = CameraStream(
                    node,
                    name,
                    slot,
                    chosen[name],
                    self._regions[name][1],
                    outputs,
                    track_ids,
                    self._fused,
                )
                undo.callback(camera.ground.worker.stop, 0.0)
                self.cameras.append(camera)
            undo.pop_all()
        self._tell_of_absent_outputs()

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
        """Subscribe to the cameras and the ground's inputs, without a memory of earlier frames."""
        self._publish_infos()
        labels = self.pipeline.labels
        if self._fused is not None:
            self._fused.start(labels)
        self._vehicle = VehicleInputs(self._node, self._settings.ground)
        for camera in self.cameras:
            camera.start(labels, self._vehicle)
        self._requests.open()

    def pause(self) -> None:
        """Stop subscribing; the frame in work is dropped. Nothing is published any more."""
        for camera in self.cameras:
            camera.pause()
        if self._vehicle is not None:
            self._vehicle.close()
            self._vehicle = None
        self._requests.close()
        if self._answered is not None:
            _fail(self._answered, "the node was deactivated meanwhile")

    def close(self, timeout: float) -> bool:
        """Withdraw the topics and end the threads; return whether they have, within seconds.

        Threads that go on end with the frame in work, see `is_busy`.
        """
        self.pause()
        self._outputs.close()
        for camera in self.cameras:
            camera.outputs.close()
        return self.end(timeout)

    def end(self, timeout: float) -> bool:
        """End the threads only, from outside of the executor; return whether they have."""
        # Each is told to end, whatever became of the one before.
        ended = [worker.stop(timeout) for worker in self._workers()]
        return all(ended)

    def is_busy(self) -> bool:
        """Return whether a thread still runs."""
        return any(worker.is_alive() for worker in self._workers())

    def _workers(self) -> list[NewestFrameWorker[Any]]:
        return [self.worker, *(camera.ground.worker for camera in self.cameras)]

    def use(self, chosen: Mapping[str, Parameters]) -> None:
        """Do as the parameters say from the next frame on; raise ValueError if impossible.

        chosen: by camera, and the node's own for "".
        """
        regions, threshold = self._read_regions(chosen), self.pipeline.options.score_threshold
        self._model.use(chosen[""])
        self._regions, self._settings = regions, chosen[""]
        if self.pipeline.options.score_threshold != threshold:
            # ~/vision_info tells it.
            self._publish_infos()
        if self._fused is not None:
            self._fused.settings = self._settings
        for camera in self.cameras:
            camera.use(chosen[camera.name], regions[camera.name][1])

    def take_over(self, model: ServedModel) -> None:
        """Work with another model from the next frame on; raise ValueError if impossible."""
        # The parameters may have changed while it was loaded.
        model.use(self._settings)
        old, self._model = self._model, model
        self._publish_infos()
        if old.pipeline.labels != model.pipeline.labels:
            if self._fused is not None:
                self._fused.start(model.pipeline.labels)
            if self._vehicle is not None:
                for camera in self.cameras:
                    camera.relabel(model.pipeline.labels, self._vehicle)

    def segment(self, message: Image) -> Future[dict[str, Any]]:
        """Return the future messages of an image by itself, see `Outputs.everything`.

        Its error says in words why there are none. One image at a time: wait for the last one's.
        """
        answered: Future[dict[str, Any]] = Future()
        self._answered = answered
        # Nothing holds the last answer.
        answered.add_done_callback(lambda _: setattr(self, "_answered", None))
        self._requests.put(_Request(message, answered))
        return answered

    def is_segmenting(self) -> bool:
        """Return whether an image of `segment` has no answer yet."""
        return self._answered is not None

    @property
    def is_resting(self) -> bool:
        """Whether frames are dropped."""
        return any(camera.is_resting for camera in self.cameras)

    def rest(self, is_resting: bool) -> None:
        """Drop frames before anything is computed of them, or go on."""
        for camera in self.cameras:
            camera.rest(is_resting)

    def status(self, state: str) -> Status:
        """Return a snapshot; called in the reporter's thread."""
        status = Status(
            "paused" if self.is_resting and state == "active" else state,
            weights=self.pipeline.name,
            device=_device_name(self.pipeline.device),
            fusion=self.pipeline.fusion_name,
        )
        seconds, is_alive = self.worker.seconds_in_work(), self.worker.is_alive()
        found = [camera.status(status, seconds, is_alive) for camera in self.cameras]
        return found[0] if self._fused is None else status_of_all(found)

    def _read_regions(self, chosen: Mapping[str, Parameters]) -> _Regions:
        """Return the region of each camera, and of the node; read are those that have changed."""
        found: _Regions = {}
        for name, parameters in chosen.items():
            described, known = parameters.region, self._regions.get(name)
            if known is None or known[0] != described:
                known = described, described.read()
            found[name] = known
        return found

    def _publish_infos(self) -> None:
        model, encoding = self._model, self._settings.labels_encoding
        self._outputs.publish_infos(model.labels, model.pipeline.options, encoding)

    def _tell_of_absent_outputs(self) -> None:
        enabled = self._settings.outputs
        missed: dict[str, list[str]] = {}
        for name, package in absent_outputs().items():
            missed.setdefault(package, []).append(name)
        for package, names in missed.items():
            wanted = sorted(f"~/{name}" for name in names if getattr(enabled, name, True))
            if any(getattr(enabled, name, False) for name in names):
                words = f"{package} is not installed: there is no {', '.join(wanted)}"
                self._node.get_logger().info(words)

    # ---- in the worker's thread

    def _joins(self, frame: Frame | _Request, other: Frame | _Request) -> bool:
        """Return whether two frames can be inferred together, as far as the ones before tell."""
        if isinstance(frame, _Request) or isinstance(other, _Request):
            return False
        return self.pipeline.can_batch and frame.camera.seen == other.camera.seen != (0, 0)

    def _infer_together(self, frames: list[Any]) -> None:
        """Infer frames that wait together in one pass; raise where each has to be by itself."""
        start, model = time.monotonic(), self._model
        for frame in frames:
            frame.camera.begin(frame)
        ready = [_ready(frame, model) for frame in frames]
        begun = max(start, *(each.decoded for each in ready))
        found = model.pipeline.infer_together([each.uploaded for each in ready])
        for inference in found:
            inference.require_finite()
        inferred = time.monotonic()
        for frame, each, inference in zip(frames, ready, found, strict=True):
            times = {"wait": start - frame.arrival, "decode": each.decode}
            frame.inferred = _Inferred(each, inference, times, inferred - begun)

    def _work(self, frame: Frame | _Request) -> Callable[[], None]:
        """Run the pipeline on a frame; return what publishes the answer."""
        if isinstance(frame, _Request):
            return self._segment(frame)
        start, shared = time.monotonic(), frame.inferred
        if shared is not None:
            ready, times = shared.ready, shared.times
            result = ready.model.pipeline.merge(shared.inference)
            times["inference"] = shared.seconds + time.monotonic() - start
        else:
            frame.camera.begin(frame)
            ready = _ready(frame, self._model)
            result = ready.model.pipeline.run(ready.uploaded)
            times = {
                "wait": start - frame.arrival,
                "decode": ready.decode,
                "inference": time.monotonic() - max(start, ready.decoded),
            }
        times |= {name: result.timings[name] / 1e3 for name in ("semantic", "instances", "fusion")}
        answer = self._answer(frame.message, ready.image, result, ready.model)
        return lambda: frame.camera.publish(frame, answer, times)

    def _segment(self, request: _Request) -> Callable[[], None]:
        """Run the pipeline on an image by itself; return what gives the answer."""
        try:
            nanoseconds(request.message.header.stamp)
        except ValueError as error:
            raise ImageRefused(str(error)) from None
        ready = _made_ready(request.message, self._model, self._regions[""][1])
        pipeline = ready.model.pipeline
        result = pipeline.run(ready.uploaded)
        answer = self._answer(request.message, ready.image, result, ready.model)
        messages = self._outputs.everything(answer, pipeline.options)
        return lambda: request.answered.set_result(messages)

    def _make_ahead(self, frame: Frame | _Request) -> None:
        """Make a frame ready while another one is in work; in a thread of its own."""
        if isinstance(frame, Frame):
            _ready(frame, self._model)

    def _answer(
        self, message: Any, image: np.ndarray, result: PanopticResult, model: ServedModel
    ) -> Answer:
        return Answer(
            message.header,
            image,
            result,
            model.pipeline.labels,
            model.label_map,
            self._settings.labels_encoding,
        )

    def _on_error(self, frame: Frame | _Request, error: BaseException) -> Callable[[], None] | None:
        kind, reason = _refusal(error)
        if isinstance(frame, Frame):
            frame.camera.refuse(kind, reason)
        else:
            _fail(frame.answered, reason)
        return self._wait_for_memory if kind == "memory" else None

    def _wait_for_memory(self) -> None:
        torch.cuda.empty_cache()
        self.worker.rest(MEMORY_RETRY_SECONDS)


def _ready(frame: Frame, model: ServedModel) -> _Ready:
    """Return a frame's picture, made before if that was for what is in use now."""
    region, ready = frame.camera.region, frame.ready
    if (
        ready is None
        or ready.model is not model
        or ready.region is not region
        or ready.max_pixels != model.pipeline.max_pixels
    ):
        ready = frame.ready = _made_ready(frame.message, model, region)
    return ready


def _made_ready(message: Any, model: ServedModel, region: ImageRegion | None) -> _Ready:
    """Decode a message and upload its picture; raise ImageRefused."""
    start, max_pixels = time.monotonic(), model.pipeline.max_pixels
    image = picture(message, max_pixels, model.decode_jpeg)
    decoded = time.monotonic()
    try:
        uploaded = model.pipeline.upload(image, region)
    except ImageUnfit as error:
        raise ImageRefused(str(error)) from error
    return _Ready(model, region, max_pixels, image, uploaded, decoded - start, decoded)


def _fail(answered: Future[dict[str, Any]], reason: str) -> None:
    # The worker and the executor may both give up an image.
    with suppress(InvalidStateError):
        answered.set_exception(RuntimeError(reason))


def _refusal(error: BaseException) -> tuple[str, str]:
    """Return the kind of a refusal, of `diagnostics.KINDS`, and its reason."""
    if isinstance(error, ImageRefused):
        return "image", str(error)
    is_memory = isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError))
    return "memory" if is_memory else "inference", f"{type(error).__name__}: {error}"


def _device_name(device: torch.device) -> str:
    """Return `cpu`, or the CUDA device with the name of its hardware."""
    if device.type != "cuda":
        return str(device)
    return f"{device} ({torch.cuda.get_device_name(device)})"
