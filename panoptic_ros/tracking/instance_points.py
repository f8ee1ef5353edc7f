"""The measured points of each instance, without those of what is around it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from panoptic_ros.geometry.camera_model import pixel_rays
from panoptic_ros.geometry.ground_plane import GroundPlane, GroundView
from panoptic_ros.labels import INSTANCE_DIVISOR
from panoptic_ros.prediction import PanopticPrediction, Segment

# Distances along the optical axis that are used, metres.
_NEAREST, _FARTHEST = 0.1, 80.0
# Height above the ground; what is lower may be the ground, higher belongs to nothing that
# drives or walks; metres.
_LOWEST, _HIGHEST = 0.2, 4.5
# Where the depths around a pixel differ by a larger share of its own it is on an edge, and its
# depth may be between two objects'. A face seen at 5 degrees or more differs by less.
_JUMP = 0.04
_NO_DEPTH = 1e9
# An end of an instance is hidden where this share of its rows ends at something nearer: by this
# factor and by so many metres.
_HIDDEN_ROWS, _NEARER, _NEARER_BY = 0.3, 0.97, 0.3
# Pixels on either side of a mask's edge that are compared for that.
_BESIDE = 3
# An instance with fewer points off its mask's edges is taken with them.
_FEW = 12
# More say no more of an instance's shape.
_MOST = 2000
# Side of the cells in which neighbouring points touch: at least metres, a share of their distance,
# and so many pixels: on a face that is seen at 10 degrees, pixels are that far apart.
_CELL, _CELL_SHARE, _CELL_PIXELS = 0.25, 0.02, 6
# A cluster with at least so large a share of the largest one's points may be the object.
_LARGE = 0.5


@dataclass(frozen=True)
class InstancePoints:
    """Hold what is measured of an instance.

    points: float64 [N, 3] in base_link, metres, of one cluster above the ground; hidden: whether
    its left and its right end, as the camera sees it, is hidden or out of the picture;
    cut_top: whether it reaches out of the picture's upper edge; margin: metres across the line
    of sight from the outermost points to the mask's edge.
    """

    points: np.ndarray
    hidden: tuple[bool, bool] = (False, False)
    cut_top: bool = False
    margin: float = 0.0


def measured_points(
    view: GroundView, size: tuple[int, int], wanted: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the points that a frame's depth or cloud shows in its picture.

    view: with depth (of the picture's size) or points; size: (H, W); wanted: bool [H, W],
    pixels (None: all). Returns float64 [N, 3], optical frame, metres, and intp [N], each one's
    pixel in the flattened picture; of neither depth nor points there are none.
    Raise ValueError for depth of another size.
    """
    camera = view.camera.scaled(size)
    if view.depth is not None:
        if view.depth.shape != size:
            raise ValueError(f"depth image is {view.depth.shape} (H, W), the image {size}")
        with np.errstate(invalid="ignore"):
            has_depth = (view.depth > 0) & (view.depth < np.inf)
        index = np.flatnonzero(has_depth if wanted is None else has_depth & wanted)
        return pixel_rays(camera)[index] * view.depth.ravel()[index, None].astype(float), index
    cloud = np.zeros((0, 3)) if view.points is None else view.points
    cloud = cloud[np.isfinite(cloud).all(axis=1)].astype(float)
    points = (cloud - view.base_from_optical[:3, 3]) @ view.base_from_optical[:3, :3]
    pixels, seen = camera.project(points)
    points, index = points[seen], camera.flat_index(pixels[seen])
    chosen = slice(None) if wanted is None else wanted.ravel()[index]
    return points[chosen], index[chosen]


def instance_points(
    prediction: PanopticPrediction, view: GroundView, plane: GroundPlane
) -> dict[int, InstancePoints]:
    """Return the points of the instances that have some, by their value in the label image.

    view, errors: as for `measured_points`; plane: the ground in base_link.

    Points on a mask's edge and on jumps of the depth are left out, as they may lie between the
    object and what is behind it, and so is the ground. Where the rest falls apart, seen from
    above, the mask shows several objects: the nearest of the large clusters stays.
    """
    labels = prediction.labels
    things = {s.id: s for s in prediction.segments if s.is_thing and s.id >= INSTANCE_DIVISOR}
    wanted = labels >= INSTANCE_DIVISOR
    if view.depth is not None and view.depth.shape == labels.shape:
        wanted &= _is_smooth(view.depth)
    size = (labels.shape[0], labels.shape[1])
    points, index = measured_points(view, size, wanted)
    value = labels.ravel()[index]
    inner = _inside(labels).ravel()[index] & (points[:, 2] > _NEAREST) & (points[:, 2] < _FARTHEST)
    depth, pixel = points[:, 2], 1 / view.camera.scaled(size).matrix[0, 0]
    eye = view.base_from_optical[:3, 3]
    points = points @ view.base_from_optical[:3, :3].T + eye
    order = np.argsort(value, kind="stable")
    ids, starts = np.unique(value[order], return_index=True)
    found = {}
    # Without any points there is one empty part.
    for instance, own in zip(ids.tolist(), np.split(order, starts[1:]), strict=False):
        if instance not in things:
            continue
        inside = own[inner[own]]
        chosen, margin = (inside, 1.5) if len(inside) >= _FEW else (own, 0.5)
        chosen = chosen[:: -(-len(chosen) // _MOST)]
        cluster = _cluster(_above_ground(points[chosen], plane), eye, pixel)
        if len(cluster):
            segment = things[instance]
            found[instance] = InstancePoints(
                cluster,
                _hidden(segment, labels, view.depth),
                cut_top=segment.box[1] == 0,
                margin=margin * pixel * float(np.median(depth[chosen])),
            )
    return found


def _inside(labels: np.ndarray) -> np.ndarray:
    """Return the pixels whose neighbours have their own value, bool [H, W]."""
    # OpenCV has no morphology of int32; float32 holds all label values exactly.
    values = labels.astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.dilate(values, kernel) == cv2.erode(values, kernel))


def _is_smooth(depth: np.ndarray) -> np.ndarray:
    """Return the pixels around which measured depths agree, bool [H, W]."""
    measured = np.isfinite(depth) & (depth > 0)
    kernel = np.ones((3, 3), np.uint8)
    depth = np.where(measured, depth, 0).astype(np.float32)
    highest = cv2.dilate(depth, kernel)
    lowest = cv2.erode(np.where(measured, depth, np.float32(_NO_DEPTH)), kernel)
    return np.asarray(measured & (highest - lowest <= _JUMP * depth))


def _above_ground(points: np.ndarray, plane: GroundPlane) -> np.ndarray:
    height = plane.height_above(points)
    return points[(height >= _LOWEST) & (height <= _HIGHEST)]


def _cluster(points: np.ndarray, eye: np.ndarray, pixel: float) -> np.ndarray:
    """Return the points of the nearest large cluster, seen from above.

    pixel: its size at a distance of 1 m, metres.
    """
    if not len(points):
        return points
    distance = np.hypot(*(points - eye)[:, :2].T)
    cell = max(_CELL, max(_CELL_SHARE, _CELL_PIXELS * pixel) * float(np.median(distance)))
    x, y = np.floor((points[:, :2] - points[:, :2].min(axis=0)) / cell).astype(np.intp).T
    occupied = np.zeros((x.max() + 1, y.max() + 1), np.uint8)
    occupied[x, y] = 1
    of_cell = cv2.connectedComponents(occupied, connectivity=8)[1]
    cluster = of_cell[x, y]
    counts = np.bincount(cluster)
    nearest = np.full(len(counts), np.inf)
    np.minimum.at(nearest, cluster, distance)
    nearest[counts < _LARGE * counts.max()] = np.inf
    return points[cluster == nearest.argmin()]


def _hidden(segment: Segment, labels: np.ndarray, depth: np.ndarray | None) -> tuple[bool, bool]:
    """Return whether a mask's left and right end is hidden or out of the picture."""
    x0, y0, x1, y1 = segment.box
    left, right = x0 == 0, x1 == labels.shape[1]
    if depth is None:
        return left, right
    mask = labels[y0:y1, x0:x1] == segment.id
    rows = np.flatnonzero(mask.any(axis=1))
    first = x0 + mask[rows].argmax(axis=1)
    last = x1 - 1 - mask[rows, ::-1].argmax(axis=1)
    return (
        left or _ends_at_nearer(depth, y0 + rows, first, -_BESIDE),
        right or _ends_at_nearer(depth, y0 + rows, last, _BESIDE),
    )


def _ends_at_nearer(depth: np.ndarray, rows: np.ndarray, columns: np.ndarray, step: int) -> bool:
    """Return whether beside the ends of a mask's rows mostly something nearer is seen."""
    width = depth.shape[1]
    own = depth[rows, (columns - step).clip(0, width - 1)]
    beside = depth[rows, (columns + step).clip(0, width - 1)]
    with np.errstate(invalid="ignore"):
        nearer = (beside > 0) & (beside < _NEARER * own - _NEARER_BY)
    return bool(nearer.mean() > _HIDDEN_ROWS) if len(rows) else False
