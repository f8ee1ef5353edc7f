"""The frozen networks' predictions that the head trains on, computed once and kept on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from panoptic_ros.datasets import load_frame
from panoptic_ros.documents import read_json
from panoptic_ros.fusion.conv_head import instance_mask, region, softmax_masks
from panoptic_ros.fusion.merge import Candidates
from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet
from panoptic_ros.model.predictors import PanopticPredictor
from panoptic_ros.prediction import SemanticPrediction
from panoptic_ros.training.frames import Frames
from panoptic_ros.training.instance import matches
from panoptic_ros.whole_files import replacing, write_json

INDEX = "index.json"


@dataclass(frozen=True)
class Entry:
    """Name one matched instance: frame, position among the frame's matches, label-image value."""

    frame: int
    position: int
    value: int

    @property
    def class_id(self) -> int:
        """Label id."""
        return self.value // INSTANCE_DIVISOR


class HeadSample(NamedTuple):
    """Hold what the head sees of an instance, and what it should answer.

    stacked: float [1 + C, h + 2r, w + 2r], the detector's mask and the softmax masks, r the
    head's radius; target: float [h, w], 0 or 1; class_id: label id.
    """

    stacked: Tensor
    target: Tensor
    class_id: int


class HeadInputs:
    """Read matched instances with their semantic context.

    folder: what `prepare` wrote of the frames; radius: the head's.
    """

    def __init__(self, folder: Path, frames: Frames, labels: LabelSet, radius: int) -> None:
        self._folder = folder
        self._frames = frames
        self._labels = labels
        self._radius = radius
        self.entries = [Entry(*row) for row in read_json(folder / INDEX)]

    def sample(self, entry: Entry, window: int, rng: np.random.Generator) -> HeadSample:
        """Return an instance's sample over its region.

        window: longest side in pixels; of a larger region `rng` picks a part.
        """
        stored = _read(self._folder, entry.frame)
        truth = self._frames[entry.frame].load_instance_ids() == entry.value
        box = stored["boxes"][entry.position].double().numpy()
        x0, y0, x1, y1 = region(box, truth.shape)
        x0, x1 = _part(x0, x1, window, rng)
        y0, y1 = _part(y0, y1, window, rng)
        crop = (x0, y0, x1, y1)
        semantic = self._semantic(stored, truth.shape)
        mask = stored["masks"][entry.position].float()
        own = instance_mask(mask, box, crop, truth.shape, self._radius)
        return HeadSample(
            torch.cat([own[None], softmax_masks(semantic, crop, self._radius)]),
            torch.from_numpy(truth[y0:y1, x0:x1].astype(np.float32)),
            entry.class_id,
        )

    def frame(
        self, frame: int, device: torch.device
    ) -> tuple[SemanticPrediction, Candidates, np.ndarray]:
        """Return what the networks gave of a frame, as a merge takes it, and the truth.

        The candidates are the matched instances, their values those of the truth.
        """
        stored = _read(self._folder, frame)
        truth = self._frames[frame].load_instance_ids()
        values = np.array([e.value for e in self.entries if e.frame == frame], np.int64)
        candidates = Candidates(
            boxes=stored["boxes"].double().numpy(),
            scores=np.ones(len(values)),
            class_ids=values // INSTANCE_DIVISOR,
            values=values,
            masks=stored["masks"].float().to(device),
        )
        return self._semantic(stored, truth.shape, device), candidates, truth

    def _semantic(
        self, stored: dict[str, Tensor], size: tuple[int, int], device: torch.device | str = "cpu"
    ) -> SemanticPrediction:
        scores, count = stored["logits"].float().to(device), len(self._labels)
        other = scores[count] if len(scores) > count else None
        return SemanticPrediction(scores[:count], size, self._labels, other)


@torch.inference_mode()
def prepare(folder: Path, frames: Frames, networks: PanopticPredictor, least_score: float) -> None:
    """Write the predictions on every frame to a folder, unless a former run did.

    Per frame the semantic scores (half precision), and boxes and masks of the detections
    of at least a score that found a ground-truth instance. The index comes last: without
    it, a killed run's folder is filled again.
    """
    if (folder / INDEX).is_file():
        return
    rows: list[tuple[int, int, int]] = []
    for frame, sample in enumerate(tqdm(frames, f"predicting {folder.name}", unit="frame")):
        image, truth = load_frame(sample)
        semantic, found = networks(image)
        found = found[found.scores >= least_score]
        matched = matches(found, truth)
        kept = torch.tensor([m.detection for m in matched], dtype=torch.int64)
        rows += [(frame, position, m.value) for position, m in enumerate(matched)]
        stored = {
            "logits": semantic.scores.half().cpu(),
            "boxes": found.boxes.cpu()[kept],
            "masks": found.masks.half().cpu()[kept],
        }
        with replacing(_file(folder, frame)) as file:
            torch.save(stored, file)
    write_json(folder / INDEX, rows, indent=None)


def _read(folder: Path, frame: int) -> dict[str, Tensor]:
    return torch.load(_file(folder, frame), weights_only=True)


def _file(folder: Path, frame: int) -> Path:
    return folder / f"{frame:06d}.pt"


def _part(start: int, stop: int, length: int, rng: np.random.Generator) -> tuple[int, int]:
    if stop - start <= length:
        return start, stop
    first = int(rng.integers(start, stop - length + 1))
    return first, first + length
