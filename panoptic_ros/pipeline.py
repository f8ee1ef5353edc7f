"""The whole method in one call, as the report tells it: semantic, instances, merge."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch

from panoptic_ros.fusion import FusionOptions, make_strategy
from panoptic_ros.labels import LabelSet
from panoptic_ros.model.build import build_predictors
from panoptic_ros.model.config import load_model_config
from panoptic_ros.model.predictors import InstancePredictor, SemanticPredictor
from panoptic_ros.networks.panoptic_head import PanopticHead
from panoptic_ros.prediction import InstancePrediction, PanopticPrediction, SemanticPrediction
from panoptic_ros.stage_clock import StageClock

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PanopticResult:
    """Hold everything one frame gave, and the milliseconds of each stage.

    timings: keys semantic, instances, fusion, total.
    """

    panoptic: PanopticPrediction
    semantic: SemanticPrediction
    instances: InstancePrediction
    timings: dict[str, float]


class PanopticPipeline:
    """Turn images into label images with two networks and a merging strategy.

    >>> pipeline = PanopticPipeline.load("town")
    >>> prediction = pipeline(image)              # uint8 [H, W, 3], RGB
    >>> prediction.labels                         # uint16 [H, W]
    """

    def __init__(
        self,
        semantic: SemanticPredictor,
        instances: InstancePredictor,
        head: PanopticHead | None = None,
        *,
        fusion: str = "stack",
        options: FusionOptions | None = None,
        name: str = "",
    ) -> None:
        self.semantic = semantic
        self.instances = instances
        self.head = head
        self.name = name
        self.set_fusion(fusion, options or FusionOptions())

    @classmethod
    def load(
        cls,
        weights: str = "town",
        *,
        device: str = "auto",
        fusion: str | None = None,
        options: FusionOptions | None = None,
    ) -> PanopticPipeline:
        """Build the networks of a model configuration and load their weights.

        weights: NAME of config/models/NAME.yaml, or the path of such a file.
        device: auto (CUDA where there is one), cuda, cuda:N or cpu.
        fusion, options: None takes the model's own, or stack, with a warning, where the
        model's own needs a head and it has none.
        Raise FileNotFoundError or ValueError that names the file at fault, or the device.
        """
        config = load_model_config(weights)
        semantic, instances, head = build_predictors(config, torch_device(device))
        return cls(
            semantic,
            instances,
            head,
            fusion=fusion or fusion_or_stack(config.fusion, head, config.name),
            options=options or config.options,
            name=config.name,
        )

    @property
    def labels(self) -> LabelSet:
        """Label set of the predictions."""
        return self.semantic.labels

    @property
    def device(self) -> torch.device:
        """Device that the networks run on."""
        return self.semantic.device

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
        """Return the label image and segments of an image, uint8 [H, W, 3], RGB.

        Raise ValueError for another shape or dtype.
        """
        return self.run(image).panoptic

    @torch.inference_mode()
    def run(self, image: np.ndarray) -> PanopticResult:
        """Do the same as a call, and return each stage's result and time too."""
        _, merge, options = self._fusion
        clock = StageClock(self.device)
        frame = self.semantic.upload(image)
        semantic = self.semantic(frame)
        clock.lap("semantic")
        instances = self.instances(frame)
        clock.lap("instances")
        panoptic = merge(semantic, instances, options)
        clock.lap("fusion")
        return PanopticResult(panoptic, semantic, instances, clock.milliseconds())


def fusion_or_stack(fusion: str, head: PanopticHead | None, model: str) -> str:
    """Return a strategy's name; stack, with a warning, where it needs a head and there is none."""
    if fusion != "conv_head" or head is not None:
        return fusion
    _log.warning(
        "model %r brings no weights of a panoptic head: merging with stack; "
        "docs/weights.md tells how to train a head",
        model,
    )
    return "stack"


def torch_device(name: str) -> torch.device:
    """Return the device that auto, cuda, cuda:N or cpu means on this machine.

    Raise ValueError for another name, and for a CUDA device that torch does not see.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name != "cpu" and name.split(":")[0] != "cuda":
        raise ValueError(f"device is {name!r}; it must be auto, cuda, cuda:N or cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {name!r} is not there: torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices; check nvidia-smi and the driver, "
            "or choose device cpu"
        )
    return device
