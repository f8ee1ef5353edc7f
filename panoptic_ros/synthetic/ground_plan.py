"""The truth on the ground around the ego car: class per cell, what is occupied, object boxes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from panoptic_ros.synthetic.ego_drive import EgoPose
from panoptic_ros.synthetic.mesh import rotation_z
from panoptic_ros.synthetic.scene import Actor
from panoptic_ros.synthetic.scene_model import Scene
from panoptic_ros.synthetic.street_layout import Street

RESOLUTION = 0.2
X_RANGE = (-6.4, 64.0)
Y_RANGE = (-25.6, 25.6)
# Boxes are listed to this distance, beyond the grid.
_BOX_REACH = 90.0
# Fixed-point bits of cv2.fillConvexPoly: outlines keep fractions of a cell.
_SHIFT = 4
# Side of the blocks, in cells, for which street coordinates are computed.
_BLOCK = 4


@dataclass(frozen=True)
class ObjectBox:
    """Describe an object in base_link: label value, class, middle x, y, z, size, yaw, velocity.

    center: metres, z at half its height; size: length, width, height; yaw: radians;
    velocity: x, y over the ground, m/s, in base_link's axes.
    """

    id: int
    class_id: int
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw: float
    velocity: tuple[float, float]


@dataclass(frozen=True)
class GroundPlan:
    """Hold the ground around base_link (x forward, y left).

    classes, surface: uint8 [X, Y], label id per cell, with and without what stands on it;
    occupied: bool [X, Y]; cell [i, j] is centred at X_RANGE[0] + (i + 0.5) * RESOLUTION,
    Y_RANGE[0] + (j + 0.5) * RESOLUTION.
    """

    surface: np.ndarray
    classes: np.ndarray
    occupied: np.ndarray
    boxes: list[ObjectBox]


def grid_shape() -> tuple[int, int]:
    """Return the number of cells along x and y."""
    nx, ny = (round((high - low) / RESOLUTION) for low, high in (X_RANGE, Y_RANGE))
    return nx, ny


def survey(scene: Scene, street: Street, ego: EgoPose, time: float) -> GroundPlan:
    """Return the ground plan at a time, around an ego pose."""
    turn = rotation_z(ego.yaw)[:2, :2]
    origin = np.array([ego.x, ego.y])
    surface, _ = street.surface(*_street_coordinates(street, turn, origin))
    classes, occupied = surface.copy(), np.zeros(surface.shape, np.uint8)
    for obstacle in scene.obstacles:
        _fill((obstacle.corners - origin) @ turn, obstacle.class_id, classes, occupied)
    boxes = []
    for actor in scene.actors:
        box = _box(actor, ego, turn, origin, time)
        if np.hypot(*box.center[:2]) < _BOX_REACH:
            boxes.append(box)
            _fill(_corners(box), box.class_id, classes, occupied)
    return GroundPlan(surface, classes, occupied.astype(bool), boxes)


def _street_coordinates(
    street: Street, turn: np.ndarray, origin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return s and t of every cell.

    Computed for blocks of cells and interpolated: a street bends so little that the error is
    below a millimetre. One more block all around keeps the border from being extrapolated.
    """
    nx, ny = grid_shape()
    step = _BLOCK * RESOLUTION
    x = X_RANGE[0] + (np.arange(-1, nx // _BLOCK + 1) + 0.5) * step
    y = Y_RANGE[0] + (np.arange(-1, ny // _BLOCK + 1) + 0.5) * step
    blocks = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    coarse = street.to_street(blocks @ turn.T + origin)
    inner = (slice(_BLOCK, _BLOCK + nx), slice(_BLOCK, _BLOCK + ny))
    s, t = (
        cv2.resize(v, None, fx=_BLOCK, fy=_BLOCK, interpolation=cv2.INTER_LINEAR)[inner]
        for v in coarse
    )
    return s, t


def _box(
    actor: Actor, ego: EgoPose, turn: np.ndarray, origin: np.ndarray, time: float
) -> ObjectBox:
    x, y, z, yaw = actor.path(time)
    later = np.array(actor.path(time + 0.05)[:2]) - np.array(actor.path(time - 0.05)[:2])
    xy = (np.array([x, y]) - origin) @ turn
    velocity = (later / 0.1) @ turn
    turned = (yaw - ego.yaw + np.pi) % (2 * np.pi) - np.pi
    length, width, height = actor.size
    return ObjectBox(
        id=actor.label,
        class_id=actor.class_id,
        center=(float(xy[0]), float(xy[1]), z + actor.size[2] / 2),
        size=(float(length), float(width), float(height)),
        yaw=float(turned),
        velocity=(float(velocity[0]), float(velocity[1])),
    )


def _corners(box: ObjectBox) -> np.ndarray:
    half = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * np.array(box.size[:2]) / 2
    return half @ rotation_z(box.yaw)[:2, :2].T + np.array(box.center[:2])


def _fill(corners: np.ndarray, class_id: int, classes: np.ndarray, occupied: np.ndarray) -> None:
    cells = (corners - [X_RANGE[0], Y_RANGE[0]]) / RESOLUTION - 0.5
    if (cells.max(0) < 0).any() or (cells.min(0) > np.array(classes.shape)).any():
        return
    # Columns of the array are y, OpenCV's first coordinate.
    points = np.round(cells[:, ::-1] * (1 << _SHIFT)).astype(np.int32)
    cv2.fillConvexPoly(classes, points, int(class_id), shift=_SHIFT)
    cv2.fillConvexPoly(occupied, points, 1, shift=_SHIFT)
