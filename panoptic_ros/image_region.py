"""The part of a picture that the networks see: a region of interest, without the own vehicle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from panoptic_ros.labels import UNLABELED
from panoptic_ros.messages.images import MAX_PIXELS, check_pixels
from panoptic_ros.prediction import PanopticPrediction, Segment, extent
from panoptic_ros.resources import expanded

if TYPE_CHECKING:
    from panoptic_ros.upsampling import Box

# The mean of ImageNet's pixels, RGB: what networks take for nothing.
_NOTHING = np.array((124, 116, 104), np.uint8)
_MASK_FORMATS = ("PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP")


@dataclass(frozen=True)
class ImageRegion:
    """Choose pixels of pictures; what the networks make of them is put back in its place.

    x_offset, y_offset, width, height: of the region, pixels; a width or height of 0 reaches to
    the picture's edge. ego_mask: bool [H, W] of the pictures' size, true where they show the own
    vehicle; the networks see grey there.
    """

    x_offset: int = 0
    y_offset: int = 0
    width: int = 0
    height: int = 0
    ego_mask: np.ndarray | None = field(default=None, compare=False)

    def box(self, size: tuple[int, int]) -> Box:
        """Return the region in a picture of a size, (H, W), as (x0, y0, x1, y1).

        Raise ValueError where the picture does not hold it, or has another size than the mask.
        """
        height, width = size
        x1 = self.x_offset + self.width if self.width else width
        y1 = self.y_offset + self.height if self.height else height
        if not (self.x_offset < x1 <= width and self.y_offset < y1 <= height):
            raise ValueError(
                f"the region of interest, x {self.x_offset}..{x1} and y {self.y_offset}..{y1}, "
                f"does not lie in a picture of {width}x{height} pixels"
            )
        if self.ego_mask is not None and self.ego_mask.shape != size:
            rows, columns = self.ego_mask.shape
            raise ValueError(
                f"the ego mask has {columns}x{rows} pixels, the picture {width}x{height}"
            )
        return self.x_offset, self.y_offset, x1, y1

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Return what the networks see of a picture, uint8 [H, W, 3]; raise as `box`."""
        x0, y0, x1, y1 = self.box((image.shape[0], image.shape[1]))
        if self.ego_mask is None:
            return image[y0:y1, x0:x1]
        mask = self.ego_mask[y0:y1, x0:x1]
        return np.where(mask[..., None], _NOTHING, image[y0:y1, x0:x1])

    def placed(self, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return values of the region's pixels in a picture of a size, 0 where nothing was seen."""
        x0, y0, x1, y1 = self.box(size)
        picture = np.zeros(size, values.dtype)
        picture[y0:y1, x0:x1] = values
        if self.ego_mask is not None:
            picture[self.ego_mask] = UNLABELED
        return picture

    def prediction(self, panoptic: PanopticPrediction, size: tuple[int, int]) -> PanopticPrediction:
        """Return a prediction of the region as one of the whole picture, without `masks`."""
        labels = self.placed(panoptic.labels, size)
        segments = [self._placed_segment(labels, segment) for segment in panoptic.segments]
        return PanopticPrediction(labels, [segment for segment in segments if segment.area])

    def hidden(self, size: tuple[int, int]) -> np.ndarray:
        """Return the pixels of a picture that the networks do not see, bool [H, W]."""
        x0, y0, x1, y1 = self.box(size)
        return self.placed(np.ones((y1 - y0, x1 - x0), np.uint8), size) == 0

    def _placed_segment(self, labels: np.ndarray, segment: Segment) -> Segment:
        x0, y0, x1, y1 = np.add(segment.box, (self.x_offset, self.y_offset) * 2).tolist()
        box = (x0, y0, x1, y1)
        if self.ego_mask is None:
            return replace(segment, box=box)
        area, box = extent(labels, segment.id, box) or (0, box)
        return replace(segment, area=area, box=box)


def read_ego_mask(file: str) -> np.ndarray:
    """Return where a picture shows the own vehicle, bool [H, W].

    file: a grey or coloured PNG, not black there. Raise FileNotFoundError, or ValueError that
    names the file.
    """
    path = expanded(file)
    if not path.is_file():
        raise FileNotFoundError(f"there is no ego mask {path}")
    try:
        with Image.open(path, formats=_MASK_FORMATS) as picture:
            check_pixels("ego mask", *picture.size, MAX_PIXELS)
            is_grey = picture.mode in ("1", "L", "F") or picture.mode.startswith("I")
            # Neither alpha nor an EXIF orientation counts: pictures are taken so, too.
            pixels = np.asarray(picture if is_grey else picture.convert("RGB"))
    except Exception as error:  # Pillow promises no class.
        raise ValueError(
            f"{path} cannot be read as a picture ({error}); an ego mask is a PNG"
        ) from error
    return np.atleast_3d(pixels).max(axis=2) > 0
