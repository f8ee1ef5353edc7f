"""A data set that a small network can learn: coloured rectangles on a road under a sky."""

from pathlib import Path

import cv2
import numpy as np

from panoptic_ros.labels import class_ids

ROAD, SKY = 7, 23
# Label id -> colour (RGB) and size (height, width) of the things.
THINGS = {24: ((220, 20, 60), (40, 20)), 26: ((20, 60, 200), (30, 60))}
SIZE = (128, 256)


def frame(seed):
    """Return an image, uint8 [128, 256, 3], and its instance ids, uint16 [128, 256]."""
    rng = np.random.default_rng(seed)
    image = np.full((*SIZE, 3), (90, 90, 90), np.uint8)
    ids = np.full(SIZE, ROAD, np.uint16)
    image[:40], ids[:40] = (200, 220, 250), SKY
    for class_id, (color, (height, width)) in THINGS.items():
        for n in range(2):
            # Each keeps to a quarter of the width: none hides another.
            column = 128 * n + 64 * (class_id == 26) + int(rng.integers(64 - width + 1))
            row = int(rng.integers(40, SIZE[0] - height))
            window = (slice(row, row + height), slice(column, column + width))
            image[window], ids[window] = color, class_id * 1000 + n
    noise = rng.integers(-8, 9, image.shape)
    return np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8), ids


def write(root: Path, frames: int, val_frames: int = 2) -> Path:
    """Write the frames in the Cityscapes layout and return the root."""
    for split, seeds in (("train", range(frames)), ("val", range(1000, 1000 + val_frames))):
        images, labels = (root / kind / split / "toytown" for kind in ("leftImg8bit", "gtFine"))
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for seed in seeds:
            image, ids = frame(seed)
            name = f"toytown_{seed:06d}_000000"
            cv2.imwrite(str(images / f"{name}_leftImg8bit.png"), image[..., ::-1])
            cv2.imwrite(str(labels / f"{name}_gtFine_instanceIds.png"), ids)
            cv2.imwrite(
                str(labels / f"{name}_gtFine_labelIds.png"), class_ids(ids).astype(np.uint8)
            )
    return root
