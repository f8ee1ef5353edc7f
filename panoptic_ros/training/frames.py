"""Training samples and statistics from a data set of frames with instance ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from panoptic_ros.datasets import LabeledFrame, load_frame
from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet, class_ids
from panoptic_ros.training.augment import Augmentation
from panoptic_ros.training.sampling import Order
from panoptic_ros.training.settings import AugmentationConfig

Frames = Sequence[LabeledFrame]
READERS = 4


class FrameSamples(Dataset):
    """Give augmented frames by sample number, without end, the same for the same number.

    weights: float [N], how often each frame is given; target: of a frame's augmented labels.
    """

    def __init__(
        self,
        frames: Frames,
        weights: np.ndarray,
        augmentation: AugmentationConfig,
        target: Callable[[np.ndarray], Any],
        seed: int,
    ) -> None:
        self._frames, self._target, self._seed = frames, target, seed
        self._order = Order(weights, seed)
        self._augmentation = Augmentation(augmentation)

    def __getitem__(self, sample: int) -> tuple[Tensor, Any]:
        """Return an image, uint8 [3, h, w], and its target."""
        frame = self._frames[self._order[sample]]
        rng = np.random.default_rng((self._seed, sample))
        image, ids = self._augmentation(*load_frame(frame), rng)
        return image, self._target(ids)


def class_pixels(frames: Frames, labels: LabelSet) -> np.ndarray:
    """Return the pixels of each class in each frame, int64 [N, C]."""
    count = int(labels.ids.max()) + 1

    def pixels(ids: np.ndarray) -> np.ndarray:
        return np.bincount(class_ids(ids).ravel(), minlength=count)[labels.ids]

    return np.array(_scan(frames, pixels))


def thing_presence(frames: Frames, labels: LabelSet) -> np.ndarray:
    """Return whether each thing class has an instance in each frame, bool [N, K]."""
    things = [c.id for c in labels.things]

    def present(ids: np.ndarray) -> np.ndarray:
        values = np.flatnonzero(np.bincount(ids.ravel()))
        return np.isin(things, values[values >= INSTANCE_DIVISOR] // INSTANCE_DIVISOR)

    return np.array(_scan(frames, present))


def _scan(frames: Frames, count: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
    """Return what a function says of every frame's labels; PNGs decode in threads."""
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda frame: count(frame.load_instance_ids()), frames)
        return list(tqdm(found, "reading labels", total=len(frames), unit="frame", leave=False))
