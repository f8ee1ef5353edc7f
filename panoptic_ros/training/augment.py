"""Random scale, crop, flip, colour and sharpness of a frame and its label image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from panoptic_ros.training.settings import AugmentationConfig


@dataclass(frozen=True)
class Augmentation:
    """Change a frame at random, as its settings say.

    Every random number comes from the generator of the call, so that a sample is a pure
    function of its number.
    """

    config: AugmentationConfig

    def __call__(
        self, image: np.ndarray, ids: np.ndarray, rng: np.random.Generator
    ) -> tuple[Tensor, np.ndarray]:
        """Return an image, uint8 [3, h, w], and its labels, integer [h, w], of the crop's size.

        image: uint8 [H, W, 3]; ids: integer [H, W]. Beyond the frame: grey, label 0.
        """
        image, ids = _scale(image, ids, rng.uniform(*self.config.scale))
        image, ids = _crop(image, ids, self.config.crop, rng)
        if rng.random() < self.config.flip:
            image, ids = image[:, ::-1], ids[:, ::-1]
        return self._recolor(image, rng), np.ascontiguousarray(ids)

    def _recolor(self, pixels: np.ndarray, rng: np.random.Generator) -> Tensor:
        config = self.config
        turn = rng.uniform(-config.hue, config.hue)
        image = torch.from_numpy(np.ascontiguousarray(turn_hue(pixels, turn).transpose(2, 0, 1)))
        for amount, change in (
            (config.brightness, transforms.adjust_brightness),
            (config.contrast, transforms.adjust_contrast),
            (config.saturation, transforms.adjust_saturation),
            (config.sharpness, transforms.adjust_sharpness),
        ):
            if amount:
                image = change(image, rng.uniform(max(0.0, 1 - amount), 1 + amount))
        return image


def turn_hue(image: np.ndarray, turn: float) -> np.ndarray:
    """Turn the hue of an RGB image, uint8 [H, W, 3], by a share of the circle, in 256 steps.

    torchvision's adjust_hue takes ten times as long, half of all the time of a sample.
    """
    steps = round(256 * turn)
    if steps == 0:
        return image
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(steps % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def _scale(image: np.ndarray, ids: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    # OpenCV resizes no int32; every Cityscapes id fits 16 bits, and nearest keeps the bits.
    narrow = cv2.resize(ids.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(image, size, interpolation=how), narrow.astype(ids.dtype)


def _crop(
    image: np.ndarray, ids: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    missing = [max(0, want - have) for want, have in zip(size, ids.shape, strict=True)]
    if any(missing):
        pad = ((0, missing[0]), (0, missing[1]))
        image = np.pad(image, (*pad, (0, 0)), constant_values=114)
        ids = np.pad(ids, pad, constant_values=0)
    top = int(rng.integers(ids.shape[0] - size[0] + 1))
    left = int(rng.integers(ids.shape[1] - size[1] + 1))
    window = (slice(top, top + size[0]), slice(left, left + size[1]))
    return image[window], ids[window]
