"""Time the way from a label image to the fused grid, on one core.

    python benchmarks/bench_grid.py

A street of 2048 x 1024 labels with 50 things into 300 x 200 cells while the car drives;
against cv2.warpPerspective of the same label image to the same cells, which knows of no
obstacle, no height and no time. Target: <= 4 ms per frame for projection and fusion, <= 25 ms
with what moves, for which all 50 things have a track.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import torch
from results import Result, interleaved, one_core

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundView, Viewpoint
from panoptic_ros.geometry.poses import Pose2D, optical_pose
from panoptic_ros.grid.dynamic_grid import DynamicGrid, Motion
from panoptic_ros.grid.grid_options import ProjectionOptions
from panoptic_ros.grid.mapper import GroundMapper
from panoptic_ros.grid.observation import GroundObservation
from panoptic_ros.grid.projection import GroundProjection
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import PanopticPrediction

SIZE = (1024, 2048)
FOCAL = 1362.0
CAMERA_HEIGHT = 1.4
CAMERA = CameraModel(SIZE[1], SIZE[0], np.array([[FOCAL, 0, 1023.5], [0, FOCAL, 511.5], [0, 0, 1]]))
MOUNTING = optical_pose(1.6, 0.0, CAMERA_HEIGHT, 0.0, 0.03, 0.0)
INSTANCES = 50
REPEATS = 100
# Metres of a drive at 10 m/s between frames at 10 Hz.
STEP = 1.0
ROAD, BUILDING, SKY = 7, 11, 23


def pixels(xyz: np.ndarray) -> np.ndarray:
    """Return the pixels [N, 2] of points [N, 3] in base_link."""
    return CAMERA.project((xyz - MOUNTING[:3, 3]) @ MOUNTING[:3, :3])[0]


def street(seed: int) -> np.ndarray:
    """Draw a road between buildings with things on it, uint16 [H, W]."""
    rng = np.random.default_rng(seed)
    labels = np.full(SIZE, SKY, np.uint16)
    horizon = round(pixels(np.array([[1e6, 0, CAMERA_HEIGHT]]))[0, 1])
    labels[horizon - 200 : horizon] = BUILDING
    labels[horizon:] = ROAD
    x = -np.sort(-rng.uniform(7, 55, INSTANCES))
    for number, (ahead, aside) in enumerate(zip(x, rng.uniform(-12, 12, INSTANCES), strict=True)):
        thing = CITYSCAPES.things[number % len(CITYSCAPES.things)]
        wide, high = rng.uniform(0.5, 2), rng.uniform(1.2, 2)
        corners = np.array([[ahead, aside + wide / 2, high], [ahead, aside - wide / 2, 0]])
        (left, top), (right, bottom) = np.rint(pixels(corners)).astype(int).clip(0)
        labels[top : bottom + 1, left : right + 1] = thing.id * 1000 + number
    return labels


def cells_from_pixels(window: GridWindow) -> np.ndarray:
    """Return the homography from the picture to the window's cells on flat ground, [3, 3]."""
    ground = np.array([[8.0, -3, 0], [8, 3, 0], [40, -10, 0], [40, 10, 0]])
    corner = [window.x_min, window.y_min]
    cells = (ground[:, :2] - corner) / window.resolution - 0.5
    return cv2.getPerspectiveTransform(pixels(ground).astype("f4"), cells.astype("f4"))


def run(device: torch.device) -> list[Result]:
    """Give the figures to run.py; the device plays no part."""
    with one_core():
        return measure()


def measure() -> list[Result]:
    """Return the milliseconds of projection with fusion, and of what moves on top of them."""
    predictions = itertools.cycle(PanopticPrediction(street(s)) for s in (0, 1))
    window, options = GridWindow(), ProjectionOptions()
    viewpoint = Viewpoint.of(GroundView(CAMERA, MOUNTING), SIZE, options.plane)
    project = GroundProjection(viewpoint, window, CITYSCAPES, options)
    fusing, moving = Ground(window), Ground(window)
    homography, size = cells_from_pixels(window), window.shape[::-1]
    rng = np.random.default_rng(0)

    def follow() -> None:
        observation, pose, time = moving.fuse(next(predictions))
        motions = [
            Motion(instance.id, tuple(rng.normal(scale=5, size=2)), np.eye(2))
            for instance in observation.instances
        ]
        moving.dynamic.update(observation, pose, time, motions)
        moving.dynamic.layers()

    times = interleaved(
        {
            "projection + fusion": lambda: fusing.fuse(next(predictions)),
            "with what moves": follow,
            "projection": lambda: project(next(predictions)),
            "warpPerspective": lambda: cv2.warpPerspective(
                next(predictions).labels, homography, size, flags=cv2.INTER_NEAREST
            ),
        },
        REPEATS,
    )
    rows, columns = window.shape
    about = f"{SIZE[1]}x{SIZE[0]} labels, {INSTANCES} things, {columns} x {rows} cells, one core"
    fused, moved = times["projection + fusion"], times["with what moves"]
    against = f"{about}; {moved / fused:.1f} times projection + fusion alone"
    return [
        Result("grid: projection + fusion", fused, "ms", 4, False, times, about),
        Result("grid: with what moves", moved, "ms", 25, False, {}, against),
    ]


class Ground:
    """Drive through the street and turn, frame after frame, with a memory."""

    def __init__(self, window: GridWindow) -> None:
        self.dynamic = DynamicGrid(window, CITYSCAPES)
        self._mapper, self._frames = GroundMapper(CITYSCAPES, window), itertools.count()
        # The node, too, reads a camera's calibration once.
        self._view = GroundView(CAMERA, MOUNTING)

    def fuse(self, prediction: PanopticPrediction) -> tuple[GroundObservation, Pose2D, float]:
        """Take in a frame; return what it shows, the pose and the time, seconds."""
        frame = next(self._frames)
        pose, time = Pose2D(frame * STEP, 0.0, 0.01 * frame), 0.1 * frame
        view = replace(self._view, pose=pose)
        return self._mapper(prediction, view, time=time).observation, pose, time


def main() -> None:
    for result in run(torch.device("cpu")):
        for name, value in result.milliseconds.items():
            print(f"{name:28s} {value:8.2f} ms")
        print(result.about)


if __name__ == "__main__":
    main()
