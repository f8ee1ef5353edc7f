"""Small data sets on disk, and a model that is quick on them."""

import cv2
import numpy as np
from model_file import write_untrained

from panoptic_ros.labels import class_ids

SIZE = (48, 96)


def truth(seed):
    """Return road, sky, void, two cars, a person and a group of bicycles, uint16 [H, W]."""
    rng = np.random.default_rng(seed)
    labels = np.full(SIZE, 7, np.uint16)
    labels[:16] = 23
    labels[:, :4] = 1
    for value, width in ((26000, 20), (26001, 14), (24000, 12), (33, 10)):
        x, y = int(rng.integers(4, SIZE[1] - width)), int(rng.integers(0, SIZE[0] - 12))
        labels[y : y + 12, x : x + width] = value
    return labels


def write_cityscapes(root, count):
    """Write frames aachen_000000_00000N, split val; return their names."""
    names = [f"aachen_000000_{seed:06d}" for seed in range(count)]
    for seed, name in enumerate(names):
        picture = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3))
        write_frame(root, name, picture.astype(np.uint8), truth(seed))
    return names


def write_frame(root, name, picture, labels):
    """Write a frame of RGB and instance ids in Cityscapes' layout, split val, city aachen."""
    for kind, suffix, pixels in (
        ("leftImg8bit", "leftImg8bit", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)),
        ("gtFine", "gtFine_instanceIds", labels),
        ("gtFine", "gtFine_labelIds", class_ids(labels).astype(np.uint8)),
    ):
        path = root / kind / "val" / "aachen" / f"{name}_{suffix}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)


def write_model(folder):
    """Write an untrained model for small images that finds plenty; return its path."""
    return write_untrained(folder / "quick.yaml", SIZE[0], score_threshold=0.0, stuff_area_limit=0)
