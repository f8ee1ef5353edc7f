import math

import pytest
from street_world import FACE, write_frame

from panoptic_ros.datasets.town import Town
from panoptic_ros.evaluation.grid_truth import ground_truth
from panoptic_ros.evaluation.town_drive import files_drive
from panoptic_ros.grid.window import GridWindow

WINDOW = GridWindow()


@pytest.fixture
def truth(tmp_path):
    write_frame(tmp_path, "drives", 1, 0)
    town = Town(tmp_path, "drives")
    drive = files_drive(town, town)
    return ground_truth(town, town[0], drive.camera, drive.base_from_optical, WINDOW)


def cell(x, y):
    return round(y / 0.2 + 100 - 0.5), round(x / 0.2 - 0.5)


def test_the_plan_is_turned_into_rows_of_y_and_columns_of_x(truth):
    assert truth.occupied.shape == (200, 300)
    assert truth.occupied[cell(FACE + 0.1, 0.9)]
    assert not truth.occupied[cell(FACE - 0.1, 0.9)]
    assert not truth.occupied[cell(FACE + 0.1, 1.1)]
    assert truth.classes[cell(FACE + 0.1, 0.9)] == 26
    assert truth.distance[cell(3.1, 4.1)] == pytest.approx(math.hypot(3.1, 4.1))


def test_what_is_behind_the_car_is_hidden_and_what_is_before_it_is_seen(truth):
    assert truth.visible[cell(FACE - 0.5, 0.1)]
    assert truth.hidden[cell(FACE + 5, 0.1)]
    assert not truth.visible[cell(FACE + 5, 0.1)]
    assert truth.visible[cell(FACE + 5, 4.1)]


def test_boxes_have_velocities(truth):
    [box] = truth.boxes.values()
    assert (box.velocity, box.is_vehicle) == ((0.0, 0.0), True)


def test_out_of_the_picture_nothing_is_seen_or_hidden(truth):
    # Under the picture's lower edge, and beside it.
    for x, y in ((2.1, 0.1), (5.1, 15.1)):
        assert not truth.visible[cell(x, y)]
        assert not truth.hidden[cell(x, y)]


def test_a_window_beyond_the_plan_is_refused(tmp_path):
    write_frame(tmp_path, "drives", 1, 0)
    town = Town(tmp_path, "drives")
    drive = files_drive(town, town)
    with pytest.raises(ValueError, match="reaches beyond the ground plan"):
        ground_truth(town, town[0], drive.camera, drive.base_from_optical, GridWindow(length=80.0))
