"""From an image to predictions: what lies between a picture and a network, on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map
from torchvision.ops import clip_boxes_to_image

from panoptic_ros.labels import LabelSet
from panoptic_ros.model.rider_rule import find_riders
from panoptic_ros.networks.deeplab import DeepLabV3Plus
from panoptic_ros.networks.mask_rcnn import NORMALISATIONS, MaskRCNNDetector
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction, all_finite

IMAGENET_MEAN, IMAGENET_STD = NORMALISATIONS["torch"].mean, NORMALISATIONS["torch"].std
# Both backbones halve the image five times; below this nothing is left to look at.
MIN_SIDE = 32


@dataclass(frozen=True)
class Limits:
    """Bound the size at which a network sees images.

    short_side, long_side: an image is scaled until its short side has short_side pixels, or
    its long side long_side where that comes first; 0 sets no such limit, both 0 keep its own
    size; enlarge: False keeps the own size of an image that is smaller, too, for networks that
    learned on sharp images alone.
    """

    short_side: int = 0
    long_side: int = 0
    enlarge: bool = True

    def size(self, frame: tuple[int, int]) -> tuple[int, int]:
        """Return (height, width) of an image of a size after scaling, each at least MIN_SIDE.

        >>> Limits(512, 1024).size((720, 1280))
        (512, 910)
        """
        limits = ((self.short_side, min(frame)), (self.long_side, max(frame)))
        scale = min((limit / side for limit, side in limits if limit), default=1.0)
        if not self.enlarge:
            scale = min(scale, 1.0)
        # Halves are rounded up, as detectron2's ResizeShortestEdge does.
        height, width = (max(MIN_SIDE, int(side * scale + 0.5)) for side in frame)
        return height, width


OWN_SIZE = Limits()


class Predictor:
    """Hold a network, put into evaluation mode, and the limits of the size that it sees."""

    def __init__(self, network: nn.Module, labels: LabelSet, limits: Limits = OWN_SIZE) -> None:
        # oneDNN and cuDNN run convolutions faster with the channels innermost.
        self.network = network.eval().to(memory_format=torch.channels_last)
        self.labels = labels
        self.limits = limits
        self._half: torch.dtype | None = None

    def compute_in(self, half: torch.dtype) -> None:
        """Compute in half precision from now on, where torch's autocast does; answers are float32.

        Boxes, scores and masks are chosen in float32: half a pyramid's precision would round
        anchors, which take its type, to whole pixels.
        """
        self._half = half
        if answers := getattr(self.network, "answer_layers", ()):
            for layer in (self.network.backbone, *answers):
                layer.register_forward_hook(_in_float32)

    @property
    def device(self) -> torch.device:
        """Device that the network is on."""
        return next(self.network.parameters()).device

    def upload(self, image: np.ndarray | Tensor) -> Tensor:
        """Return an image as uint8 [3, H, W] on the network's device; see `upload` below."""
        return upload(image, self.device)

    def input_size(self, frame: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) at which the network sees an image of a size."""
        return self.limits.size(frame)

    def _computing(self) -> torch.autocast:
        """Return the context that the network is called in."""
        return torch.autocast(self.device.type, self._half, enabled=self._half is not None)

    def _resized(self, frames: Sequence[Tensor]) -> Tensor:
        """Return images of one size as the network wants them, float [B, 3, h, w], 0..1."""
        size = self.input_size(sides_of(frames[0]))
        pixels = torch.stack([resize(frame, size) for frame in frames]).float().div_(255)
        return pixels.contiguous(memory_format=torch.channels_last)


class SemanticPredictor(Predictor):
    """Score each pixel of an image for each class of a label set.

    Raise ValueError where the network's classes are not the label set's.
    """

    network: DeepLabV3Plus

    def __init__(self, network: DeepLabV3Plus, labels: LabelSet, limits: Limits = OWN_SIZE) -> None:
        super().__init__(network, labels, limits)
        if network.num_classes != len(labels):
            raise ValueError(
                f"the semantic network has {network.num_classes} classes, "
                f"label set {labels.name!r} has {len(labels)}"
            )
        self._mean = torch.tensor(IMAGENET_MEAN, device=self.device).view(3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=self.device).view(3, 1, 1)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray | Tensor) -> SemanticPrediction:
        """Return the class scores of an image (see `upload` for what it takes)."""
        return self.together([self.upload(image)])[0]

    @torch.inference_mode()
    def together(self, frames: Sequence[Tensor]) -> list[SemanticPrediction]:
        """Return the class scores of images of one size, as `upload` gives them."""
        normalised = (self._resized(frames) - self._mean) / self._std
        size = sides_of(frames[0])
        with self._computing():
            logits = self.network(normalised).float()
        return [SemanticPrediction(each, size, self.labels) for each in logits]


class InstancePredictor(Predictor):
    """Find the instances of a label set's thing classes in an image.

    finds_riders: make riders of the persons on a two-wheeler, for a network that does not
    know riders (see `riders.find_riders`).
    Raise ValueError where the network's classes are not the label set's things.
    """

    network: MaskRCNNDetector

    def __init__(
        self,
        network: MaskRCNNDetector,
        labels: LabelSet,
        limits: Limits = OWN_SIZE,
        *,
        finds_riders: bool = False,
    ) -> None:
        super().__init__(network, labels, limits)
        self.finds_riders = finds_riders
        class_ids = _class_ids(network, labels)
        # The detector's label 0 is the background, which it never returns.
        self.class_ids = torch.tensor([0, *class_ids], device=self.device)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray | Tensor) -> InstancePrediction:
        """Return the instances in an image, by falling score (see `upload` for what it takes).

        Boxes are in pixels of the image itself, clipped to it, class ids are label ids.
        """
        return self.together([self.upload(image)])[0]

    @torch.inference_mode()
    def together(self, frames: Sequence[Tensor]) -> list[InstancePrediction]:
        """Return the instances in images of one size, as `upload` gives them.

        An answer that is not finite makes those of all images so.
        """
        pixels = self._resized(frames)
        with answers_of(self.network.answer_layers) as answers, self._computing():
            found = self.network(list(pixels))
        finite, seen = all_finite(answers), (pixels.shape[2], pixels.shape[3])
        rest = (self.class_ids, sides_of(frames[0]), seen, finite)
        return [self._known(found_in_image(each, *rest)) for each in found]

    def _known(self, instances: InstancePrediction) -> InstancePrediction:
        # Networks may know more classes than the label set.
        instances = instances[instances.class_ids > 0]
        return find_riders(instances, self.labels) if self.finds_riders else instances


def _in_float32(module: nn.Module, inputs: object, output: Any) -> Any:
    """Return what a layer gives in float32; a forward hook."""
    return tree_map(lambda values: values.float(), output)


def found_in_image(
    found: dict[str, Tensor],
    class_ids: Tensor,
    size: tuple[int, int],
    seen: tuple[int, int],
    finite: Tensor,
) -> InstancePrediction:
    """Return what a detector found in pixels of the image.

    found: boxes [N, 4], labels [N], scores [N], masks [N, M, M] or, as torchvision gives them,
    [N, 1, M, M]; class_ids: label id of each class; size, seen: (height, width) of the image and
    of what the network saw; finite: see `InstancePrediction`.
    """
    boxes = in_image(found["boxes"], seen, size)
    masks = found["masks"].float().reshape(-1, *found["masks"].shape[-2:])
    return InstancePrediction(boxes, class_ids[found["labels"]], found["scores"], masks, finite)


def in_image(boxes: Tensor, seen: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return boxes, float [N, 4], xyxy, in an image's own pixels, clipped to it.

    seen, size: (height, width) of what the network saw, and of the image.
    """
    # By numbers, not by a tensor of them: that would make a device wait for its copy.
    scale = [size[1] / seen[1], size[0] / seen[0]] * 2
    sides = [side * by for side, by in zip(boxes.T, scale, strict=True)]
    return clip_boxes_to_image(torch.stack(sides, dim=1), size)


@contextmanager
def answers_of(layers: Iterable[nn.Module]) -> Iterator[list[Tensor]]:
    """Gather what layers give while the context lasts.

    A detector drops boxes and scores that are not finite on its way and then finds nothing,
    so that they can be seen at its last layers alone.
    """
    gathered: list[Tensor] = []

    def gather(module: nn.Module, inputs: object, output: Any) -> None:
        for part in [output] if isinstance(output, Tensor) else output:
            gathered.extend([part] if isinstance(part, Tensor) else part)

    hooks = [module.register_forward_hook(gather) for module in layers]
    try:
        yield gathered
    finally:
        for hook in hooks:
            hook.remove()


class Uploader(Protocol):
    """Take images to where a network runs."""

    labels: LabelSet

    @property
    def device(self) -> torch.device:
        """Device that predictions lie on."""

    def upload(self, image: np.ndarray | Tensor) -> Tensor:
        """Return an image as uint8 [3, H, W] on the device; see `upload` below."""


U = TypeVar("U", bound=Uploader)


class PanopticPredictor(Uploader, Protocol):
    """Give both predictions of an image, from one network or two."""

    def __call__(
        self, image: np.ndarray | Tensor, lap: Callable[[str], None] = ...
    ) -> tuple[SemanticPrediction, InstancePrediction]:
        """Return both predictions of an image; lap: told when `semantic`, `instances` are done."""


class OnTop(Generic[U]):
    """Stand on top of networks: label set, device and upload are theirs."""

    def __init__(self, networks: U) -> None:
        self._networks = networks
        self.labels = networks.labels

    @property
    def device(self) -> torch.device:
        """Device that predictions lie on."""
        return self._networks.device

    def upload(self, image: np.ndarray | Tensor) -> Tensor:
        """Return an image as uint8 [3, H, W] on the device; see `upload` below."""
        return self._networks.upload(image)


class SeparatePredictors(OnTop[SemanticPredictor]):
    """Put two networks of their own behind the call of a shared one: the report's form.

    batches: whether `together` can be called.
    """

    def __init__(self, semantic: SemanticPredictor, instances: InstancePredictor) -> None:
        super().__init__(semantic)
        self.semantic, self.instances = semantic, instances
        # Networks that are ONNX files take one image.
        self.batches = isinstance(semantic, Predictor) and isinstance(instances, Predictor)

    def __call__(
        self, image: np.ndarray | Tensor, lap: Callable[[str], None] = lambda stage: None
    ) -> tuple[SemanticPrediction, InstancePrediction]:
        """Return both predictions of an image; lap: told when `semantic`, `instances` are done."""
        frame = self.upload(image)
        semantic = self.semantic(frame)
        lap("semantic")
        instances = self.instances(frame)
        lap("instances")
        return semantic, instances

    def together(
        self, frames: Sequence[Tensor], lap: Callable[[str], None]
    ) -> list[tuple[SemanticPrediction, InstancePrediction]]:
        """Return both predictions of images of one size, as `upload` gives them."""
        semantic = self.semantic.together(frames)
        lap("semantic")
        instances = self.instances.together(frames)
        lap("instances")
        return list(zip(semantic, instances, strict=True))


def _class_ids(network: MaskRCNNDetector, labels: LabelSet) -> list[int]:
    """Return the label id of each of a network's classes, 0 for one that the set lacks."""
    things = [c.id for c in labels.things]
    if network.class_ids is not None:
        if unknown := set(network.class_ids) - {0, *things}:
            raise ValueError(
                f"the instance network has label ids {sorted(unknown)}, which are no things of "
                f"label set {labels.name!r}"
            )
        return list(network.class_ids)
    if network.num_classes != len(things):
        raise ValueError(
            f"the instance network has {network.num_classes} classes, "
            f"label set {labels.name!r} has {len(things)} thing classes"
        )
    return things


def upload(image: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Return an image as uint8 [3, H, W] on a device.

    image: uint8 [H, W, 3] RGB in host memory, or a tensor that `upload` gave: several
    predictors share one upload. Raise ValueError for another type, shape or dtype, and
    for an image with a side below MIN_SIDE.
    """
    if isinstance(image, Tensor):
        _check(image, torch.uint8, channels=0)
        return image.to(device)
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image is a {type(image).__name__}; expected a NumPy array")
    _check(image, np.uint8, channels=-1)
    # torch takes neither negative strides (a flipped view) nor, without a warning,
    # read-only memory (a view of a message).
    pixels = torch.from_numpy(np.require(image, requirements=["C", "W"]))
    if device.type == "cuda":
        # From pinned memory it crosses while the host goes on.
        pixels = pixels.pin_memory()
    return pixels.to(device, non_blocking=True).permute(2, 0, 1)


def sides_of(frame: Tensor) -> tuple[int, int]:
    """Return (H, W) of an image, [3, H, W]."""
    return int(frame.shape[1]), int(frame.shape[2])


def resize(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """Return an image, uint8 [3, H, W], at another size, as Pillow's bilinear `resize` gives it.

    Public detectors were trained, and are judged, on images that Pillow had resized:
    antialiased, along one axis and then the other, rounded after each. Single values may be off by
    one.
    """
    if size == tuple(frame.shape[1:]):
        return frame
    # torch rounds after each axis itself, in a fourth of Pillow's time; on a GPU it has no uint8.
    if frame.device.type == "cpu":
        return _interpolate(frame[None], size)[0]
    wide = _interpolate(frame[None].float(), (frame.shape[1], size[1])).round_()
    return _interpolate(wide, size)[0].round_().to(torch.uint8)


def _interpolate(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    # antialias: a plain bilinear reduction skips pixels.
    return F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)


def _check(image: np.ndarray | Tensor, dtype: object, channels: int) -> None:
    """Raise ValueError for an image that `Predictor.upload` cannot take.

    dtype: the uint8 of its kind; channels: the axis they lie on.
    """
    sides = image.shape[1:] if channels == 0 else image.shape[:-1]
    is_rgb = image.ndim == 3 and image.shape[channels] == 3
    if image.dtype == dtype and is_rgb and min(sides) >= MIN_SIDE:
        return
    layout = "[3, H, W]" if channels == 0 else "[H, W, 3]"
    raise ValueError(
        f"image has dtype {image.dtype} and shape {list(image.shape)}; "
        f"expected uint8 {layout} with H, W >= {MIN_SIDE}"
    )
