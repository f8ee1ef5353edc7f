from dataclasses import replace

import numpy as np
from street_world import write_frame

from panoptic_ros.datasets.town import Town
from panoptic_ros.evaluation.drive_conditions import AS_RECORDED
from panoptic_ros.evaluation.grid_fusion import best_single
from panoptic_ros.evaluation.grid_run import GroundDrive
from panoptic_ros.evaluation.track_run import true_predictions
from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.ground_stage import GroundOptions, GroundStage
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import PanopticPrediction

WINDOW = GridWindow()


def test_the_first_frame_counts_though_the_vehicle_has_gone_on(tmp_path):
    """10 m in a second are no jump, at which the grid would forget; the last frame sees nothing."""
    write_frame(tmp_path, "drives", 1, 0)
    town = Town(tmp_path, "drives")
    drive = GroundDrive.of(town, list(town), WINDOW)
    [(_, _, first)] = drive.shown(true_predictions(drive.drive, CITYSCAPES), AS_RECORDED)
    gone = Pose2D(first.view.pose.x + 10, first.view.pose.y, first.view.pose.yaw)
    nothing = PanopticPrediction(np.zeros_like(first.prediction.labels))
    view = replace(first.view, pose=gone)
    last = replace(first, prediction=nothing, view=view, time_ns=first.time_ns + 10**9)
    stage = GroundStage(CITYSCAPES, GroundOptions(window=WINDOW))
    cells = np.ones_like(drive.cells)
    alone = best_single([first], stage, cells, ~cells)
    assert alone > 0.1
    assert best_single([last], stage, cells, ~cells) == 0
    assert best_single([first, last], stage, cells, ~cells) > 0.5 * alone
