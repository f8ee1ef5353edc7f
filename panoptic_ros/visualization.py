"""Pictures for people: label images in colour, on top of the camera's image or alone."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR, UNLABELED, LabelClass, LabelSet
from panoptic_ros.prediction import PanopticPrediction, Segment

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)
# Text of this height (as a share of OpenCV's font) suits an image of 720 rows.
_FONT_SCALE = 0.5
_DESIGN_HEIGHT = 720
_PADDING = 3
# Share of the colours in an overlay, the rest is the image's.
_TINT = 0.5


def colorize(panoptic: PanopticPrediction, labels: LabelSet) -> np.ndarray:
    """Return a label image in colour, uint8 [H, W, 3], RGB.

    Stuff has its class's colour, each instance a shade of its class's that depends on
    its id alone; unlabeled pixels are black.
    """
    # One 32-bit look-up per pixel is several times faster than rows of a [n, 3] table.
    # Clipped, an id that the label set does not know falls on the last entry, black.
    packed = np.take(_palette(labels), panoptic.labels, mode="clip")
    return cv2.cvtColor(packed.view(np.uint8).reshape(*packed.shape, 4), cv2.COLOR_RGBA2RGB)


def overlay(image: np.ndarray, panoptic: PanopticPrediction, labels: LabelSet) -> np.ndarray:
    """Return the image with its segments drawn over it, uint8 [H, W, 3], RGB.

    Segments are tinted and outlined; instances carry their class's name and score, but for
    those lower than a line of text. Unlabeled pixels stay as they are.

    image: uint8 [H, W, 3], RGB, the size of the label image; it is not changed.
    Raise ValueError on another size.
    """
    if image.shape != (*panoptic.labels.shape, 3):
        raise ValueError(
            f"image has shape {image.shape}, label image {panoptic.labels.shape}: not the same size"
        )
    canvas = cv2.addWeighted(image, 1 - _TINT, colorize(panoptic, labels), _TINT, 0)
    unlabeled = (panoptic.labels == UNLABELED).view(np.uint8)
    cv2.copyTo(image, unlabeled, canvas)
    canvas[_outlines(panoptic.labels)] = 255
    things = [s for s in panoptic.segments if s.is_thing]
    for segment in sorted(things, key=lambda s: s.score):
        _draw_name(canvas, segment, labels)
    return canvas


def instance_color(cls: LabelClass, instance: int) -> tuple[int, int, int]:
    """Return the colour of a class's n-th instance, RGB, 0..255: number 0 has the class's own.

    Hue and whiteness each follow an additive recurrence (multiples of an irrational number,
    modulo 1), so that neighbouring numbers differ and any run of numbers spreads evenly.
    """
    turn = (instance * 0.7548776662 + 0.5) % 1 - 0.5
    white = 0.5 * ((instance * 0.6180339887) % 1)
    color = np.array([[cls.color]], np.uint8)
    hue, saturation, value = cv2.cvtColor(color, cv2.COLOR_RGB2HSV)[0, 0]
    turned = np.array([[((int(hue) + round(turn * 24)) % 180, saturation, value)]], np.uint8)
    rgb = cv2.cvtColor(turned, cv2.COLOR_HSV2RGB)[0, 0] if round(turn * 24) else cls.color
    red, green, blue = (round(c + (255 - c) * white) for c in map(int, rgb))
    return red, green, blue


@lru_cache(maxsize=4)
def _palette(labels: LabelSet) -> np.ndarray:
    """Return the colour of each value of a label image, uint32 [n + 1]: bytes R, G, B, 255."""
    largest = max(
        c.id * INSTANCE_DIVISOR + INSTANCE_DIVISOR - 1 if c.is_thing else c.id
        for c in labels.classes
    )
    rgba = np.zeros((largest + 2, 4), np.uint8)
    for cls in labels.classes:
        rgba[cls.id, :3] = cls.color
        if cls.is_thing:
            first = cls.id * INSTANCE_DIVISOR
            rgba[first : first + INSTANCE_DIVISOR, :3] = [
                instance_color(cls, n) for n in range(INSTANCE_DIVISOR)
            ]
    return rgba.view(np.uint32)[:, 0]


def _outlines(label_image: np.ndarray) -> np.ndarray:
    """Return the pixels whose right or lower neighbour has another label, bool [H, W]."""
    edges = np.zeros(label_image.shape, bool)
    np.not_equal(label_image[:, 1:], label_image[:, :-1], out=edges[:, :-1])
    edges[:-1] |= label_image[1:] != label_image[:-1]
    return edges


def _draw_name(canvas: np.ndarray, segment: Segment, labels: LabelSet) -> None:
    """Write an instance's class and score on a plate at the top of its box."""
    scale = max(_FONT_SCALE, _FONT_SCALE * canvas.shape[0] / _DESIGN_HEIGHT)
    cls = labels[segment.class_id]
    text = f"{cls.name} {segment.score:.2f}"
    (width, height), descent = cv2.getTextSize(text, _FONT, scale, 1)
    plate_width, plate_height = width + 2 * _PADDING, height + descent + _PADDING
    x0, y0, _, y1 = segment.box
    if y1 - y0 < plate_height:
        return
    left = max(0, min(x0, canvas.shape[1] - plate_width))
    top = max(0, y0 - plate_height)
    color = instance_color(cls, segment.id % INSTANCE_DIVISOR)
    cv2.rectangle(canvas, (left, top), (left + plate_width, top + plate_height), color, cv2.FILLED)
    # Rec. 601 luma decides which of black and white can be read on the plate.
    luma = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    ink = _BLACK if luma > 128 else _WHITE
    origin = (left + _PADDING, top + height + _PADDING - 1)
    cv2.putText(canvas, text, origin, _FONT, scale, ink, 1, cv2.LINE_AA)
