"""Which ids of one image lie on which ids of another, and on how many pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A lookup table over all possible ids is cheaper than sorting the values where it fits a
# cache, or where there are enough values to pay for it.
_SMALL_TABLE = 1 << 20
_TABLE_PER_VALUE = 16
_LARGEST_HISTOGRAM = 1 << 22
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Overlaps:
    """Hold the pairs of ids that share pixels, K of them, each pair once.

    truth, prediction: int64 [K], the ids; pixels: int64 [K], how many they share, >= 1.
    """

    truth: np.ndarray
    prediction: np.ndarray
    pixels: np.ndarray


def overlaps(truth: np.ndarray, prediction: np.ndarray) -> Overlaps:
    """Count the pixels of each pair (truth id, predicted id).

    truth, prediction: both integer [H, W], ids >= 0 of any size; or both uint8 [H, W, 3],
    ids as a COCO-panoptic PNG holds them, in OpenCV's order (`ids_of_colors`).
    Raise ValueError for other shapes or types, for two sizes, or for negative ids.

    Labels hardly change from one pixel to the next, so the pairs are counted by runs along
    the rows: the cost after the first comparison is that of the outlines, not of the areas.
    Colours become ids at the runs only.
    """
    _check(truth, prediction)
    if not truth.size:
        return Overlaps(*(np.zeros(0, np.int64) for _ in range(3)))
    starts, lengths = _runs(truth, prediction)
    truth_ids, rows = _compact(_values(truth, starts), "truth")
    prediction_ids, columns = _compact(_values(prediction, starts), "prediction")
    cells, pixels = _histogram(rows, columns, len(truth_ids), len(prediction_ids), lengths)
    row, column = np.divmod(cells, len(prediction_ids))
    return Overlaps(truth_ids[row], prediction_ids[column], pixels)


def merged(parts: Sequence[Overlaps]) -> Overlaps:
    """Return the overlaps of several images as if they were one, side by side."""
    truth, prediction, pixels = (
        np.concatenate([np.zeros(0, np.int64), *(getattr(part, name) for part in parts)])
        for name in ("truth", "prediction", "pixels")
    )
    pairs, index = np.unique(np.stack([truth, prediction]), axis=1, return_inverse=True)
    sums = np.bincount(index.ravel(), pixels, pairs.shape[1]).astype(np.int64)
    return Overlaps(pairs[0], pairs[1], sums)


def positions(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return each value's index in ids (distinct, in any order), -1 where it is not there."""
    if not len(ids):
        return np.full(len(values), -1)
    order = np.argsort(ids)
    index = order[np.minimum(np.searchsorted(ids, values, sorter=order), len(ids) - 1)]
    return np.where(ids[index] == values, index, -1)


def shared_pixels(pairs: Overlaps, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the pixels that some true ids [T] share with predicted ones [P], int64 [T, P]."""
    rows, columns = positions(truth, pairs.truth), positions(prediction, pairs.prediction)
    inside = (rows >= 0) & (columns >= 0)
    table = np.zeros((len(truth), len(prediction)), np.int64)
    np.add.at(table, (rows[inside], columns[inside]), pairs.pixels[inside])
    return table


def ids_of_colors(colors: np.ndarray) -> np.ndarray:
    """Return segment ids R + 256 G + 65536 B, int32 [...]; colors: uint8 [..., 3], BGR."""
    blue, green, red = (colors[..., i].astype(np.int32) for i in range(3))
    return red | green << 8 | blue << 16


def _check(truth: np.ndarray, prediction: np.ndarray) -> None:
    for name, image in (("truth", truth), ("prediction", prediction)):
        colors = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        if not colors and (image.ndim != 2 or image.dtype.kind not in "iu"):
            raise ValueError(
                f"{name} is {image.dtype} {list(image.shape)}; "
                "it must be integer [H, W] or uint8 [H, W, 3]"
            )
    if truth.shape != prediction.shape:
        raise ValueError(
            f"truth is {list(truth.shape)} (rows, columns), prediction {list(prediction.shape)}; "
            "they must be of one size"
        )


def _runs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at which pixel each run of one pair starts and how long it is, int64 [R] both."""
    channels = a.shape[2] if a.ndim == 3 else 1
    if channels > 1:
        # A view that turns the channels round has the same runs as what it is of, without a copy.
        a, b = (v[..., ::-1] if v.strides[2] < 0 else v for v in (a, b))
    a, b = a.ravel(), b.ravel()
    starts = [np.zeros(1, np.int64)]
    # In blocks that stay in the cache: whole images would come and go three times over.
    buffers = np.empty((2, _BLOCK), bool)
    for start in range(channels, a.size, _BLOCK):
        here = slice(start, min(start + _BLOCK, a.size))
        before = slice(start - channels, here.stop - channels)
        changes, others = buffers[:, : here.stop - start]
        np.not_equal(a[here], a[before], out=changes)
        np.not_equal(b[here], b[before], out=others)
        np.logical_or(changes, others, out=changes)
        starts.append(np.flatnonzero(changes) + start)
    pixels = np.concatenate(starts)
    if channels > 1:
        # Several channels of a pixel may change.
        pixels //= channels
        pixels = pixels[np.diff(pixels, prepend=-1) > 0]
    return pixels, np.diff(pixels, append=a.size // channels)


def _values(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return the ids at some pixels, counted along the rows."""
    if image.ndim == 3:
        return ids_of_colors(image.reshape(-1, 3)[pixels])
    return image.ravel()[pixels]


def _compact(values: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids that occur, int64 [N] ascending, and each value's index among them."""
    if values.dtype.kind == "i" and values.min() < 0:
        raise ValueError(f"{name} holds the id {values.min()}; ids must be >= 0")
    largest = int(values.max())
    if largest >= max(_SMALL_TABLE, _TABLE_PER_VALUE * len(values)):
        ids, index = np.unique(values, return_inverse=True)
        return ids.astype(np.int64), index.ravel()
    present = np.zeros(largest + 1, bool)
    present[values] = True
    ids = np.flatnonzero(present)
    rank = np.empty(largest + 1, np.int32)
    rank[ids] = np.arange(len(ids), dtype=np.int32)
    return ids, rank[values]


def _histogram(
    rows: np.ndarray, columns: np.ndarray, height: int, width: int, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells (row * width + column) that occur and the sum of weights in each."""
    cells = rows.astype(np.int64)
    cells *= width
    cells += columns
    if height * width > _LARGEST_HISTOGRAM:
        found, index = np.unique(cells, return_inverse=True)
        return found, np.bincount(index.ravel(), weights).astype(np.int64)
    # Sums of pixels stay far below 2 ** 53, so float64 weights are exact.
    sums = np.bincount(cells, weights)
    found = np.flatnonzero(sums)
    return found, sums[found].astype(np.int64)
