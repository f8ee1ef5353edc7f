import numpy as np
import pytest

from panoptic_ros.grid.bird_eye import Mark, draw, draw_cells
from panoptic_ros.grid.layers import GridLayers
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES

ROAD, CAR = 7, 26
WINDOW = GridWindow(0.0, -1.0, 4.0, 2.0, 0.5)


def test_the_car_looks_up_and_left_is_left():
    occupancy = np.full(WINDOW.shape, -1, np.int8)
    classes = np.zeros(WINDOW.shape, np.uint8)
    # Far ahead and to the right: the last column, the first row.
    occupancy[0, 7], classes[0, 7] = 100, CAR
    picture = draw_cells(occupancy, classes, CITYSCAPES, scale=2)
    assert picture.shape == (16, 8, 3)
    car = (picture == CITYSCAPES[CAR].color).all(axis=-1)
    assert car[:2, -2:].all()
    assert car.sum() == 4


def test_what_is_free_is_paler_than_what_is_occupied_and_unknown_is_grey():
    occupancy = np.array([[0, 100, -1]], np.int8)
    picture = draw_cells(occupancy, np.full((1, 3), ROAD, np.uint8), CITYSCAPES, scale=1)
    unknown, occupied, free = picture[:, 0].astype(int)
    assert tuple(occupied) == CITYSCAPES[ROAD].color
    assert (free > occupied).all()
    assert np.ptp(unknown) < 5


def test_a_mark_is_drawn_at_its_place():
    layers = GridLayers(
        np.full(WINDOW.shape, -1, np.int8),
        np.full(WINDOW.shape, 0.5, np.float32),
        np.zeros(WINDOW.shape, np.uint8),
        np.full(WINDOW.shape, -1, np.int8),
    )
    mark = Mark((3.0, 0.5), (0.0, 0.0), "car 4", (10, 200, 30))
    picture = draw(layers, CITYSCAPES, [mark], window=WINDOW, scale=20)
    assert picture.shape == (160, 80, 3)
    # x 3 of 4 m is a quarter from the top, y 0.5 a quarter from the left.
    assert tuple(picture[40, 20]) == mark.color


def test_layers_of_another_window_are_refused():
    empty = np.zeros((2, 2), np.int8)
    layers = GridLayers(empty, empty.astype(np.float32), empty.astype(np.uint8), empty)
    with pytest.raises(ValueError, match=r"layers have shape \(2, 2\), the window \(200, 300\)"):
        draw(layers, CITYSCAPES)
