"""Time the tracker on one core: 50 instances on the ground, seen from a car that drives.

    python benchmarks/bench_tracking.py

Masks and their places on the ground are made beforehand: the label image's work is done by
the projection. Target: <= 3 ms a frame.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from results import Result, one_core

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.poses import Pose2D, optical_pose
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.labels import CITYSCAPES, encode
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.tracking.tracker import InstanceTracker

SIZE = (1024, 2048)
INSTANCES = 50
FRAMES = 100
# Before these frames some objects still have no velocity, and nothing coasts.
WARM_UP = 20
RATE = 10.0
SPEED = 5.0
# An object is left out of this share of the frames: it coasts.
HIDDEN = 0.1
FOCAL = 1200.0
CAMERA = CameraModel(SIZE[1], SIZE[0], np.array([[FOCAL, 0, 1023.5], [0, FOCAL, 511.5], [0, 0, 1]]))
BASE_FROM_OPTICAL = optical_pose(1.5, 0.0, 1.3, 0.0, 0.03, 0.0)


def frames() -> list[tuple[PanopticPrediction, list[GroundInstance], Pose2D]]:
    """Return what the tracker is given: objects that stand and walk ahead of the car."""
    rng = np.random.default_rng(0)
    count = round(INSTANCES / (1 - HIDDEN))
    way = SPEED * FRAMES / RATE
    places = rng.uniform([way + 10, -12], [way + 50, 12], (count, 2))
    velocities = rng.normal(0, 1, (count, 2))
    sizes = rng.uniform([0.5, 1.5], [2.5, 2.0], (count, 2))
    labels = np.zeros(SIZE, np.uint16)
    made = []
    for k in range(FRAMES):
        pose = Pose2D(SPEED * k / RATE, 0.0, 0.0)
        segments, ground = [], []
        for i in np.flatnonzero(rng.random(count) >= HIDDEN):
            cls = CITYSCAPES.things[i % len(CITYSCAPES.things)]
            place = pose.inverse().apply(places[i] + velocities[i] * k / RATE)
            foot = (np.array([*place, 0.0]) - BASE_FROM_OPTICAL[:3, 3]) @ BASE_FROM_OPTICAL[:3, :3]
            (u, v), (w, h) = CAMERA.project(foot[None])[0][0], sizes[i] * FOCAL / foot[2]
            box = (round(u - w / 2), round(v - h), round(u + w / 2), round(v))
            value = encode(cls.id, int(i))
            segments.append(Segment(value, cls.id, True, 0.9, round(w * h), box))
            covariance = np.diag([0.01 * foot[2], 0.1]) ** 2
            ground.append(GroundInstance(value, cls.id, tuple(place), sizes[i, 0], covariance))
        made.append((PanopticPrediction(labels, segments), ground, pose))
    return made


def measure() -> tuple[float, float]:
    """Return the median milliseconds of a frame and the mean number of instances."""
    made = frames()
    tracker = InstanceTracker(CITYSCAPES)
    times = []
    for k, (prediction, ground, pose) in enumerate(made):
        start = time.perf_counter()
        tracker.update(
            prediction,
            time=k / RATE,
            view=GroundView(CAMERA, BASE_FROM_OPTICAL, pose),
            placed=ground,
        )
        times.append(1e3 * (time.perf_counter() - start))
    instances = statistics.mean(len(prediction.segments) for prediction, _, _ in made)
    return statistics.median(times[WARM_UP:]), instances


def run(device: torch.device) -> list[Result]:
    """Give the figure to run.py; the device plays no part."""
    with one_core():
        milliseconds, instances = measure()
    about = f"{instances:.0f} instances and those that coast, median of {FRAMES - WARM_UP} frames"
    return [
        Result("tracking: a frame", milliseconds, "ms", 3, False, {"frame": milliseconds}, about)
    ]


if __name__ == "__main__":
    for result in run(torch.device("cpu")):
        print(f"{result.name}: {result.value:.2f} ms, goal {result.goal} ms; {result.about}")
