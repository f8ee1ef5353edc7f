import numpy as np
import pytest

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.layers import DynamicLayers
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.scores.grid_accuracy import Box, GroundTruth
from panoptic_ros.scores.grid_motion import MotionScore, MovingCells, second_later

CAR, PARKED, PERSON = 26001, 26002, 24001
# 30 m by 4 m in cells of a metre.
WINDOW = GridWindow(0.0, -2.0, 30.0, 4.0, 1.0)
CENTERS = WINDOW.centers()
BOXES = {
    CAR: Box((10.0, 0.0), (4.0, 2.0), 0.0, (5.0, 0.0), True),
    PARKED: Box((20.0, 0.0), (4.0, 2.0), 0.0, (0.0, 0.0), True),
}


def truth(boxes):
    occupied = np.any([box.gaps(CENTERS) == 0 for box in boxes.values()], axis=0)
    nothing = np.zeros(WINDOW.shape, bool)
    distance = np.hypot(*np.moveaxis(CENTERS, -1, 0))
    return GroundTruth(nothing, occupied, ~nothing, nothing, distance, boxes)


def layers(cells, velocity):
    """Return what a grid says that calls some cells (x, y) dynamic, all with one velocity."""
    plane = np.full((2, *WINDOW.shape), np.nan)
    for x, y in cells:
        plane.reshape(2, -1)[:, WINDOW.flat_index(x, y)] = velocity
    return DynamicLayers(*[np.zeros(WINDOW.shape)] * 4, plane, plane, plane, plane)


CAR_CELLS = [(x + 0.5, y) for x in (8, 9, 10, 11) for y in (-0.5, 0.5)]


def scored(cells, velocity=(5.0, 0.0), boxes=BOXES):
    score, true = MotionScore(), truth(boxes)
    score.add(MovingCells.of(layers(cells, velocity), true, CENTERS), true)
    return score.results()


def test_all_of_a_car_that_drives_and_nothing_else():
    results = scored(CAR_CELLS, (5.0, 0.3))
    assert (results["moving_precision"], results["moving_recall"]) == (1, 1)
    assert results["moving_f1"] == 1
    assert results["velocity_error_m_s"] == pytest.approx(0.3)
    assert results["velocity_cells"] == 8


def test_a_parked_car_is_none_that_moves():
    results = scored([*CAR_CELLS, (19.5, 0.5), (20.5, 0.5)])
    assert results["moving_precision"] == pytest.approx(8 / 10)
    assert results["velocity_cells"] == 8


def test_what_was_not_found_costs_recall():
    # Of the car's eight cells six are within a metre of these.
    results = scored(CAR_CELLS[:4])
    assert (results["moving_precision"], results["moving_recall"]) == (1, 6 / 8)
    assert results["moving_f1"] == pytest.approx(6 / 7)


def test_a_persons_velocity_is_not_a_vehicles():
    results = scored([(5.5, 0.5)], boxes={PERSON: Box((5.5, 0.5), (0.6, 0.6), 0.0, (1.0, 0.0))})
    assert (results["moving_f1"], results["velocity_cells"]) == (1, 0)


@pytest.mark.parametrize("velocity", [(5.0, 0.0), (0.0, 0.0)])
def test_a_second_later_the_cells_are_where_their_velocity_takes_them(velocity):
    """The own car has come 2 m on by then."""
    score, now = MotionScore(), truth(BOXES)
    later = truth({CAR: Box((13.0, 0.0), (4.0, 2.0), 0.0, (5.0, 0.0), True)})
    cells = MovingCells.of(layers(CAR_CELLS, velocity), now, CENTERS)
    score.add_prediction(cells, now, later, Pose2D(2.0))
    results = score.results()
    assert (results["predicted_f1"] == 1) == (velocity[0] == 5)
    assert results["still_f1"] < 0.5


def test_nothing_there_has_no_score():
    results = scored([], boxes={PARKED: BOXES[PARKED]})
    assert all(not value for value in results.values())
    # Nothing is found of what is there.
    assert scored([])["moving_f1"] == 0


def test_frames_a_second_apart():
    times = [0, 500_000_000, 1_000_000_000, 1_500_000_000]
    assert second_later(times) == {0: 2, 1: 3}
    assert second_later([0, 700_000_000]) == {}
