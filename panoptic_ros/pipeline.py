"""The whole method in one call, as in the report: semantic, instances, merge."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.cores import usable_threads
from panoptic_ros.fusion import HEADS, FusionOptions, make_strategy, possible
from panoptic_ros.image_region import ImageRegion
from panoptic_ros.labels import LabelSet
from panoptic_ros.messages.images import MAX_PIXELS
from panoptic_ros.model.build import build_predictors
from panoptic_ros.model.config import load_model_config
from panoptic_ros.model.predictors import PanopticPredictor
from panoptic_ros.networks import MergeNetwork
from panoptic_ros.prediction import (
    InstancePrediction,
    NonFinitePrediction,
    PanopticPrediction,
    SemanticPrediction,
    all_finite,
)

_log = logging.getLogger(__name__)


class ImageUnfit(ValueError):  # noqa: N818 - what it is, not that it is an error
    """Say why a pipeline cannot take an image: too many or few pixels, another shape or dtype."""


class StageClock:
    """Mark the ends of stages; CUDA events on a GPU, the host's clock elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._device = device
        self._marks = [("start", self._now())]

    def lap(self, stage: str) -> None:
        """Mark the end of a stage."""
        self._marks.append((stage, self._now()))

    def milliseconds(self) -> dict[str, float]:
        """Return each stage's duration in milliseconds.

        On a GPU this waits for the last mark; call it after the result has crossed.
        """
        if self._cuda:
            self._marks[-1][1].synchronize()
        return {
            stage: before.elapsed_time(now) if self._cuda else (now - before) * 1e3
            for (_, before), (stage, now) in zip(self._marks, self._marks[1:], strict=False)
        }

    def _now(self) -> Any:
        """Return seconds, or on a GPU a CUDA event."""
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event


@dataclass(frozen=True)
class Uploaded:
    """Hold an image on the device; `PanopticPipeline.infer` takes it in place of the image.

    frame: uint8 [3, H, W], of the region, None: of all; image_size: (H, W) of all of it;
    crossed: the CUDA event after which it can be read, None: at once.
    """

    frame: Tensor
    region: ImageRegion | None
    image_size: tuple[int, int]
    crossed: torch.cuda.Event | None


@dataclass(frozen=True)
class Inference:
    """Hold what the networks gave of one image: what every merge starts from.

    finite: bool [2], on the device, whether the semantic and the instance network's answers
    are; clock: the times of upload (of an image that was `Uploaded` before: the wait for it),
    semantic, instances; region: what they saw of the image, None: all; image_size: (H, W) of all
    of it.
    """

    semantic: SemanticPrediction
    instances: InstancePrediction
    finite: Tensor
    clock: StageClock
    region: ImageRegion | None
    image_size: tuple[int, int]

    def require_finite(self) -> None:
        """Raise NonFinitePrediction that names a network whose answer is not finite."""
        for name, finite in zip(("semantic", "instance"), self.finite.tolist(), strict=True):
            if not finite:
                raise NonFinitePrediction(f"the {name} network gives values that are not finite")


@dataclass(frozen=True)
class PanopticResult:
    """Hold everything one frame gave, and the milliseconds of each stage.

    semantic, instances: of the region; timings: keys upload, semantic, instances, fusion, total;
    region: what the networks saw of the image, None: all.
    """

    panoptic: PanopticPrediction
    semantic: SemanticPrediction
    instances: InstancePrediction
    timings: dict[str, float]
    region: ImageRegion | None = None

    def class_map(self) -> np.ndarray:
        """Return `SemanticPrediction.class_map` of the whole image, 0 where nothing was seen."""
        return self._placed(self.semantic.class_map())

    def confidence_map(self) -> np.ndarray:
        """Return `SemanticPrediction.confidence_map` of the whole image, 0 as in `class_map`."""
        return self._placed(self.semantic.confidence_map())

    def _placed(self, values: np.ndarray) -> np.ndarray:
        if self.region is None:
            return values
        height, width = self.panoptic.labels.shape
        return self.region.placed(values, (height, width))


class PanopticPipeline:
    """Turn images into label images: networks, then a merging strategy.

    >>> pipeline = PanopticPipeline.load("town")
    >>> prediction = pipeline(image)              # uint8 [H, W, 3], RGB
    >>> prediction.labels                         # uint16 [H, W]

    In two steps, where the networks' answer is merged more than once:

    >>> inference = pipeline.infer(image)
    >>> pipeline.merge(inference).panoptic.labels
    >>> pipeline.merge(inference, "stack").panoptic.labels

    max_pixels: larger images are refused before anything is computed.
    """

    def __init__(
        self,
        networks: PanopticPredictor,
        head: MergeNetwork | None = None,
        *,
        fusion: str = "stack",
        options: FusionOptions | None = None,
        name: str = "",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.networks = networks
        self.head = head
        self.name = name
        self.max_pixels = max_pixels
        self.set_fusion(fusion, options or FusionOptions())

    @classmethod
    def load(
        cls,
        weights: str = "town",
        *,
        device: str = "auto",
        fusion: str | None = None,
        options: FusionOptions | None = None,
        engine: str | None = None,
    ) -> PanopticPipeline:
        """Build the networks of a model configuration and load their weights.

        weights: NAME of config/models/NAME.yaml, or the path of such a file.
        device: auto (CUDA where there is one), cuda, cuda:N or cpu.
        fusion, options: None takes the model's own, or stack, with a warning, where the
        model's own needs a head and it has none.
        engine: what runs the networks (model/engines/); None takes the model's own.
        Raise FileNotFoundError or ValueError that names the file at fault, or the device.
        """
        # torch knows of no quota; whoever has set fewer threads keeps them.
        torch.set_num_threads(min(torch.get_num_threads(), usable_threads()))
        config = load_model_config(weights)
        config = replace(config, engine=engine or config.engine)
        networks, head = build_predictors(config, torch_device(device))
        return cls(
            networks,
            head,
            fusion=fusion or fusion_or_stack(config.fusion, head, config.name),
            options=options or config.options,
            name=config.name,
            max_pixels=config.max_pixels,
        )

    @property
    def labels(self) -> LabelSet:
        """Label set of the predictions."""
        return self.networks.labels

    @property
    def device(self) -> torch.device:
        """Device that the networks run on."""
        return self.networks.device

    def set_fusion(self, name: str, options: FusionOptions) -> None:
        """Change the merging strategy and its thresholds from the next frame on.

        Safe from another thread while a frame is in work. Raise ValueError for an unknown
        strategy, or one that needs a head where the model has none; the old one stays.
        """
        self._fusion = (name, make_strategy(name, self.head), options)

    @property
    def fusion_name(self) -> str:
        """Name of the merging strategy in use."""
        return self._fusion[0]

    @property
    def options(self) -> FusionOptions:
        """Thresholds in use."""
        return self._fusion[2]

    def __call__(self, image: np.ndarray) -> PanopticPrediction:
        """Return the label image and segments of an image; see `run`."""
        return self.run(image).panoptic

    def run(
        self, image: np.ndarray | Uploaded, region: ImageRegion | None = None
    ) -> PanopticResult:
        """Return what an image gives: `infer`, then `merge`, whose errors are this one's."""
        return self.merge(self.infer(image, region))

    @torch.inference_mode()
    def infer(self, image: np.ndarray | Uploaded, region: ImageRegion | None = None) -> Inference:
        """Run the networks on an image, as `upload` takes it, or that it gave."""
        clock = StageClock(self.device)
        uploaded = self._uploaded(image, region)
        frame = self._crossed(uploaded)
        clock.lap("upload")
        semantic, instances = self.networks(frame, clock.lap)
        return _inference(semantic, instances, clock, uploaded)

    @property
    def prepares_ahead(self) -> bool:
        """Whether `upload` gains time beside the networks: a CPU has none to give."""
        return self.device.type == "cuda"

    @torch.inference_mode()
    def upload(self, image: np.ndarray, region: ImageRegion | None = None) -> Uploaded:
        """Bring an image, uint8 [H, W, 3], RGB, to the device, while that goes on computing.

        From any thread. region: the part of it that the networks see; None: all. Raise ImageUnfit
        for another shape or dtype, too few pixels, or more than max_pixels, and for an image that
        does not hold the region.
        """
        self._check_size(image)
        if self.device.type != "cuda":
            frame, crossed = self._on_device(image, region), None
        else:
            with torch.cuda.stream(self._upload_stream):
                frame = self._on_device(image, region)
                crossed = self._upload_stream.record_event()
        return Uploaded(frame, region, (image.shape[0], image.shape[1]), crossed)

    @property
    def can_batch(self) -> bool:
        """Whether `infer_together` can be called, and gains anything: a CPU only loses memory."""
        return self.device.type != "cpu" and getattr(self.networks, "batches", False)

    @torch.inference_mode()
    def infer_together(
        self,
        images: Sequence[np.ndarray | Uploaded],
        regions: Sequence[ImageRegion | None] | None = None,
    ) -> list[Inference]:
        """Run the networks once on images whose regions have one size; raise as `upload`.

        An answer that is not finite makes those of all images so. Their times are of all.
        """
        clock = StageClock(self.device)
        pairs = zip(images, regions or [None] * len(images), strict=True)
        uploaded = [self._uploaded(*pair) for pair in pairs]
        if len({each.frame.shape for each in uploaded}) > 1:
            raise ImageUnfit("images of different sizes cannot be inferred together")
        frames = [self._crossed(each) for each in uploaded]
        clock.lap("upload")
        networks: Any = self.networks
        answers = networks.together(frames, clock.lap)
        return [
            _inference(semantic, instances, clock, each)
            for (semantic, instances), each in zip(answers, uploaded, strict=True)
        ]

    @torch.inference_mode()
    def merge(
        self, inference: Inference, fusion: str | None = None, options: FusionOptions | None = None
    ) -> PanopticResult:
        """Merge the networks' answer to a label image, as often as wanted.

        fusion, options: None takes those in use. Raise NonFinitePrediction where a network or
        the head answered with NaN or infinity, ValueError for a strategy that cannot be.
        """
        name, strategy, current = self._fusion
        if fusion not in (None, name):
            strategy = make_strategy(fusion, self.head)
        semantic, instances = inference.semantic, inference.instances
        clock = StageClock(self.device)
        try:
            panoptic = strategy(semantic, instances, options or current)
        finally:
            # Here the device has nothing left to do. Before any other error, as this is why.
            inference.require_finite()
        region = inference.region
        if region is not None:
            panoptic = region.prediction(panoptic, inference.image_size)
        clock.lap("fusion")
        times = inference.clock.milliseconds() | clock.milliseconds()
        return PanopticResult(
            panoptic, semantic, instances, {**times, "total": sum(times.values())}, region
        )

    @cached_property
    def _upload_stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)

    def _uploaded(self, image: np.ndarray | Uploaded, region: ImageRegion | None) -> Uploaded:
        return image if isinstance(image, Uploaded) else self.upload(image, region)

    def _on_device(self, image: np.ndarray, region: ImageRegion | None) -> Tensor:
        try:
            return self.networks.upload(image if region is None else region.crop(image))
        except ValueError as error:
            raise ImageUnfit(str(error)) from error

    def _crossed(self, uploaded: Uploaded) -> Tensor:
        """Return the frame, which what this thread computes from now on can read."""
        if uploaded.crossed is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(uploaded.crossed)
            # Else the next upload could take its memory while the networks still read it.
            uploaded.frame.record_stream(stream)
        return uploaded.frame

    def _check_size(self, image: np.ndarray) -> None:
        height, width = np.shape(image)[:2] if np.ndim(image) >= 2 else (0, 0)
        if height * width > self.max_pixels:
            raise ImageUnfit(
                f"the image is {width}x{height}, {height * width} pixels; this model takes "
                f"{self.max_pixels} at most: raise max_pixels, or send a smaller image"
            )


def _inference(
    semantic: SemanticPrediction,
    instances: InstancePrediction,
    clock: StageClock,
    uploaded: Uploaded,
) -> Inference:
    finite = torch.stack([all_finite([semantic.scores]), instances.all_finite()])
    region, size = uploaded.region, uploaded.image_size
    return Inference(semantic, instances, finite, clock, region, size)


def fusion_or_stack(fusion: str, head: MergeNetwork | None, model: str) -> str:
    """Return a strategy's name; stack, with a warning, where it needs a head and there is none."""
    # Other names, and none, are for the caller to judge.
    if fusion not in HEADS or fusion in possible(head):
        return fusion
    _log.warning(
        "model %r has no %s for its networks: merging with stack; "
        "docs/weights.md tells how to train one",
        *(model, HEADS[fusion][1].removeprefix("a ")),
    )
    return "stack"


def torch_device(name: str) -> torch.device:
    """Return the device that auto, cuda, cuda:N or cpu means on this machine.

    Raise ValueError for another name, and for a CUDA device that torch does not see.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:(0|[1-9]\d?))?", name):
        raise ValueError(f"device is {name!r}; it must be auto, cuda, cuda:N or cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {name!r} is not there: torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices; check nvidia-smi and the driver, "
            "or choose device cpu"
        )
    return device
