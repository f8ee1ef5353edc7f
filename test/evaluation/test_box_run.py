from dataclasses import replace

import numpy as np
import pytest
from box_scene import BASE_FROM_OPTICAL, CAMERA, seen

from panoptic_ros.evaluation.box_run import MEASUREMENTS, score_boxes
from panoptic_ros.evaluation.town_drive import DriveFrame, TownDrive
from panoptic_ros.evaluation.track_report import track_table
from panoptic_ros.evaluation.track_run import compare_tracks
from panoptic_ros.geometry.cuboid import Cuboid
from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.labels import CITYSCAPES

CAR = 26000


@pytest.fixture(scope="module")
def shown():
    """A drive towards a parked car, and what a perfect network sees."""
    frames, predictions = [], []
    for number in range(5):
        box = Cuboid((12.0 - number / 2, 0.8, 0.75), (4.4, 1.8, 1.5), 0.6)
        prediction, view = seen({CAR: box})
        depth = view.depth
        frames.append(
            DriveFrame(
                number * 10**8,
                Pose2D(number / 2),
                prediction.labels,
                lambda: np.zeros((*CAMERA.size, 3), np.uint8),
                lambda depth=depth: depth,
                lambda box=box: {CAR: box},
            )
        )
        predictions.append(prediction)
    return TownDrive("parked", CAMERA, BASE_FROM_OPTICAL, frames), predictions


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_parked_cars_box(shown, name):
    drive, predictions = shown
    near = score_boxes([drive], CITYSCAPES, {"true": [predictions]})[name]["true"]["0-20 m"]
    assert near["objects"] == near["boxes"] == 5
    assert near["centre_error"] < 0.3
    assert near["yaw_error"] < 5
    assert near["bev_iou"] > 70


def test_boxes_are_in_the_table_of_tracks(shown):
    drive, predictions = shown
    short = replace(drive, frames=drive.frames[:2])
    results = compare_tracks([short], CITYSCAPES, lambda _: predictions[0]).results
    lines = track_table(results).splitlines()
    rows = [line for line in lines if line.startswith(("true labels, exact depth", "predicted, l"))]
    assert [row.split("  ")[0] for row in rows] == [
        "true labels, exact depth, 0-20 m",
        "predicted, laser points, 0-20 m",
    ]


def test_drives_without_depth_have_no_boxes(shown):
    drive, predictions = shown
    blind = replace(drive, frames=[replace(f, depth=None) for f in drive.frames])
    results = score_boxes([blind], CITYSCAPES, {"true": [predictions]})
    assert {s["objects"] for r in results.values() for s in r["true"].values()} == {0}
