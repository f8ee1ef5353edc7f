"""Masks as COCO's run-length codes: small enough to keep for every frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from panoptic_ros.upsampling import Box

# Of a run's length, in a code.
_MOST_BITS = 30


def codes_of_labels(labels: np.ndarray, values: Iterable[int]) -> dict[int, str]:
    """Return the code of the mask of each value that occurs in a label image, integer [H, W].

    A code is the `counts` of COCO's compressed run-length encoding. All masks come from one
    pass over the runs of the image, whatever their number.
    """
    columns = np.ascontiguousarray(labels.T).ravel()
    if not columns.size:
        return {}
    starts = np.flatnonzero(np.concatenate([[True], columns[1:] != columns[:-1]]))
    edges = np.stack([starts, np.append(starts[1:], columns.size)], axis=1)
    owners = columns[starts]
    order = np.argsort(owners, kind="stable")
    found, first = np.unique(owners[order], return_index=True)
    runs = dict(zip(found.tolist(), np.split(edges[order], first[1:]), strict=True))
    return {v: _code(runs[v].ravel(), labels.shape) for v in values if v in runs}


def code_of_crop(mask: np.ndarray, box: Box, size: tuple[int, int]) -> str:
    """Return the code of a mask that is known inside its box (x0, y0, x1, y1) and false outside.

    mask: bool [y1 - y0, x1 - x0]; size: (H, W) of the image.
    """
    x0, y0, x1, y1 = box
    strip = np.zeros((x1 - x0, size[0]), bool)
    strip[:, y0:y1] = mask.T
    inside = np.concatenate([[False], strip.ravel(), [False]])
    return _code(np.flatnonzero(inside[1:] != inside[:-1]) + x0 * size[0], size)


def as_coco(code: str, size: Sequence[int]) -> dict:
    """Return what pycocotools takes for a mask."""
    return {"size": list(size), "counts": code}


def codes_iou(masks: list[dict], others: list[dict], *, is_crowd: bool = False) -> np.ndarray:
    """Return the IoU of each pair of masks as pycocotools takes them, float64 [N, M], 0..1.

    is_crowd: divide by the first mask's own area, as pycocotools does against a crowd.
    """
    if not masks or not others:
        return np.zeros((len(masks), len(others)))
    return np.asarray(coco_mask.iou(masks, others, [int(is_crowd)] * len(others)))


def area_of_code(code: str, size: Sequence[int]) -> int:
    """Return the pixels of a mask whose code comes from a stranger.

    Raise ValueError where the code is none, or not of an image of that size: pycocotools reads
    and writes beyond its memory then.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in code.encode():
        part = letter - 48
        if not 0 <= part < 64 or shift > _MOST_BITS:
            raise ValueError(f"the mask {code[:40]!r} cannot be decoded")
        value |= (part & 31) << shift
        shift += 5
        if not part & 32:  # the number's last letter; its highest bit is the sign
            value -= (part & 16) << (shift - 4)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    height, width = size
    if shift or min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"the mask {code[:40]!r} is not of {height} x {width} pixels")
    return sum(runs[1::2])


def _code(edges: np.ndarray, size: tuple[int, int]) -> str:
    """Return the code of the pixels from each even edge to the next, counted by columns."""
    height, width = size
    counts = np.diff(edges, prepend=0, append=height * width)
    packed = coco_mask.frPyObjects(as_coco(counts.tolist(), size), height, width)
    return packed["counts"].decode("ascii")
