"""A whole frame against the way of the report, and how its time grows."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import cast

import cv2
import numpy as np
import torch
from results import Result, faster, interleaved, on_cpu
from scenes import street
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from panoptic_ros.datasets.picture_files import read_picture
from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.conv_head import ConvHead
from panoptic_ros.fusion.stack import stack
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.engines import EAGER
from panoptic_ros.model.predictors import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    OWN_SIZE,
    Predictor,
    SeparatePredictors,
)
from panoptic_ros.model.shared_predictor import SharedPredictor
from panoptic_ros.networks.panoptic_head import PanopticHead
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.resources import share_dir

# Untrained, so that it needs no files: it finds the most instances that it may, 50.
_MODEL = "random"
_SIDES = (512, 1024)
_SIZES = ((256, 512), (512, 1024), (1024, 2048))
_COUNTS = (10, 30, 60)
_DETECTIONS = (5, 50)
_REPEATS = 5
_TWO_STAGE = ("town", "town_shared")


class ReportsWay:
    """Run networks of the same size as the report did: eager, each mask pasted to the frame.

    torchvision's Mask R-CNN and a DeepLabV3+, each with its own copy of the image; the scores
    are brought to the image's size before the best is taken; a loop over the instances merges.
    """

    def __init__(self, pipeline: PanopticPipeline) -> None:
        self._device = pipeline.device
        self._options = pipeline.options
        networks = two_networks(pipeline)
        self._semantic = _copy(networks.semantic.network, self._device)
        transform = GeneralizedRCNNTransform(*_SIDES, list(IMAGENET_MEAN), list(IMAGENET_STD))
        parts = _copy(networks.instances.network, self._device)
        self._detector = GeneralizedRCNN(parts.backbone, parts.rpn, parts.roi_heads, transform)
        self._detector.eval()
        self._mean, self._std = (
            torch.tensor(v, device=self._device).view(3, 1, 1)
            for v in (IMAGENET_MEAN, IMAGENET_STD)
        )

    @torch.inference_mode()
    def semantic(self, image: np.ndarray) -> Tensor:
        """Return the best channel of each pixel, [H, W]."""
        pixels = self._pixels(image)
        logits = self._semantic(((pixels - self._mean) / self._std)[None])
        return F.interpolate(logits, image.shape[:2], mode="bilinear")[0].argmax(0)

    @torch.inference_mode()
    def instances(self, image: np.ndarray) -> dict[str, Tensor]:
        """Return the detections, their masks as large as the image, [N, 1, H, W]."""
        return self._detector([self._pixels(image)])[0]

    @torch.inference_mode()
    def merge(self, best: Tensor, found: dict[str, Tensor]) -> np.ndarray:
        """Return the label image, int32 [H, W]."""
        canvas = torch.zeros_like(best, dtype=torch.int32)
        things = [c.id for c in CITYSCAPES.things]
        for i, (mask, label) in enumerate(zip(found["masks"], found["labels"], strict=True)):
            if found["scores"][i].item() < self._options.score_threshold:
                continue
            mask = mask[0] >= self._options.mask_threshold
            visible = mask & (canvas == 0)
            if mask.sum().item() - visible.sum().item() <= 0.5 * mask.sum().item():
                canvas[visible] = things[label.item() - 1] * 1000 + i
        for channel, label in enumerate(CITYSCAPES.classes):
            held = (canvas == 0) & (best == channel)
            if not label.is_thing and held.sum().item() >= self._options.stuff_area_limit:
                canvas[held] = label.id
        return canvas.cpu().numpy()

    def _pixels(self, image: np.ndarray) -> Tensor:
        return torch.from_numpy(image).to(self._device).permute(2, 0, 1).float() / 255


def run(device: torch.device) -> Iterator[Result]:
    pipeline = PanopticPipeline.load(_MODEL, device=str(device), fusion="stack")
    yield _against_the_report(pipeline)
    yield _with_cameras(pipeline)
    yield from _with_instances(device)
    yield _with_pixels(pipeline)
    fast = PanopticPipeline.load("town_fast", device=str(device), engine=EAGER)
    yield _fast_against_two(fast)
    yield _with_detections(fast)


def two_networks(pipeline: PanopticPipeline) -> SeparatePredictors:
    """Return the networks of a model that has one of each kind, on whatever engine."""
    return cast(SeparatePredictors, pipeline.networks)


def picture(height: int, width: int) -> np.ndarray:
    """Return an image of coloured blobs, uint8 [H, W, 3]."""
    blobs = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8)
    return cv2.resize(blobs, (width, height))


def _against_the_report(pipeline: PanopticPipeline) -> Result:
    image, report = picture(*_SIDES), ReportsWay(pipeline)
    best, found = report.semantic(image), report.instances(image)
    inference = pipeline.infer(image)
    networks = two_networks(pipeline)
    times = interleaved(
        {
            "report": lambda: report.merge(report.semantic(image), report.instances(image)),
            "ours": lambda: pipeline.run(image),
            "report semantic": lambda: report.semantic(image),
            "ours semantic": lambda: networks.semantic(image),
            "report instances": lambda: report.instances(image),
            "ours instances": lambda: networks.instances(image),
            "report merge": lambda: report.merge(best, found),
            "ours merge": lambda: pipeline.merge(inference),
        },
        _REPEATS,
    )
    about = (
        f"{_SIDES[1]}x{_SIDES[0]}, model {_MODEL}, {len(inference.instances)} instances, "
        f"merge {pipeline.fusion_name}"
    )
    return faster("frame: ours against the report's way", times, "report", "ours", 1, about)


def _with_pixels(pipeline: PanopticPipeline) -> Result:
    """Give the networks frames of other sizes, at their own size."""
    two = two_networks(pipeline)
    networks: list[Predictor] = [two.semantic, two.instances]
    limits = [n.limits for n in networks]
    for network in networks:
        network.limits = OWN_SIZE
    images = {f"{width}x{height}": picture(height, width) for height, width in _SIZES}
    functions = {name: lambda i=image: pipeline.run(i) for name, image in images.items()}
    try:
        times = interleaved(functions, 3)
    finally:
        for network, own in zip(networks, limits, strict=True):
            network.limits = own
    first, *_, last = times.values()
    name, unit = "frame: growth with pixels", "times for 16 times the pixels"
    about = "the networks at the frame's own size; 16 is proportional"
    return Result(name, last / first, unit, None, False, times, about)


def _with_cameras(pipeline: PanopticPipeline) -> Result:
    """Give the networks two frames one by one, and in one pass."""
    first = picture(*_SIDES)
    images = [first, np.ascontiguousarray(first[:, ::-1])]
    regions = [None] * len(images)
    times = interleaved(
        {
            "one by one": lambda: [pipeline.infer(image) for image in images],
            "in one pass": lambda: pipeline.infer_together(images, regions),
        },
        _REPEATS,
    )
    name, about = "cameras: two frames in one pass", f"model {_MODEL}, {_SIDES[1]}x{_SIDES[0]}"
    return faster(name, times, "one by one", "in one pass", None, f"networks of {about}")


@torch.inference_mode()
def _with_instances(device: torch.device) -> list[Result]:
    options = FusionOptions()
    head = PanopticHead([c.id for c in CITYSCAPES.things]).to(device)
    results = []
    for name, strategy in (("stack", stack), ("conv_head", ConvHead(head))):
        scenes = {f"{count} instances": street(count, device) for count in _COUNTS}
        times = interleaved(
            {k: partial(strategy, *scene, options) for k, scene in scenes.items()}, _REPEATS
        )
        first, *_, last = times.values()
        what, about = f"merge: growth with instances, {name}", f"{_SIDES[1]}x{_SIDES[0]}"
        each = (last - first) / (_COUNTS[-1] - _COUNTS[0])
        results.append(Result(what, each, "ms an instance", None, False, times, about))
    return results


def _fast_against_two(fast: PanopticPipeline) -> Result:
    """Run the shipped models, that of the report's two networks first, on a picture of the town."""
    models = {
        name: PanopticPipeline.load(name, device=str(fast.device), engine=EAGER)
        for name in _TWO_STAGE
    }
    models["town_fast"] = fast
    image = read_picture(share_dir() / "sample/town_street.jpg")
    frames = {name: lambda m=model: m.run(image) for name, model in models.items()}
    networks = {
        f"networks of {name}": lambda m=model: m.infer(image) for name, model in models.items()
    }
    times = interleaved({**frames, **networks}, _REPEATS)
    name, about = "frame: town_fast against town", f"{image.shape[1]}x{image.shape[0]}"
    return faster(name, times, "town", "town_fast", on_cpu(4, fast.device), about)


def _with_detections(pipeline: PanopticPipeline) -> Result:
    """Have the one-stage system find 5 and 50 instances in the same image, and merge them all."""
    pipeline.set_fusion("stack", replace(pipeline.options, score_threshold=0.0))
    head = cast(SharedPredictor, pipeline.networks).network.instances
    head.score_threshold = 0.0
    image = picture(*_SIDES)

    def frame(count: int) -> None:
        head.detections = count
        pipeline.run(image)

    times = interleaved({f"{n} instances": partial(frame, n) for n in _DETECTIONS}, _REPEATS)
    first, last = times.values()
    name, unit = "frame: growth with instances, town_fast", "times for 10 times the instances"
    return Result(name, last / first, unit, 1.5, False, times, f"{_SIDES[1]}x{_SIDES[0]}")


def _copy(network: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Return a network of the same architecture and weights, laid out as torch does by itself."""
    copy = deepcopy(network).to(device)
    return copy.to(memory_format=torch.contiguous_format).eval()
