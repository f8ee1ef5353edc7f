import numpy as np
import pytest

from panoptic_ros.grid.bird_eye import Mark, draw, draw_cells, draw_marks
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES

ROAD, SIDEWALK, PERSON, CAR = 7, 8, 24, 26
WINDOW = GridWindow(0.0, -1.0, 4.0, 2.0, 0.5)
STREET = GridWindow(0.0, -12.0, 36.0, 24.0, 0.5)
GREEN = (10, 200, 30)


def empty(window):
    return np.full(window.shape, -1, np.int8), np.zeros(window.shape, np.uint8)


def has(picture, color):
    return bool((picture == color).all(axis=-1).any())


def test_the_car_looks_up_and_left_is_left():
    occupancy, classes = empty(WINDOW)
    # Far ahead and to the right: the last column, the first row.
    occupancy[0, 7], classes[0, 7] = 100, CAR
    picture = draw_cells(occupancy, classes, CITYSCAPES, scale=2)
    assert picture.shape == (16, 8, 3)
    car = (picture == CITYSCAPES[CAR].color).all(axis=-1)
    assert car[:2, -2:].all()
    assert car.sum() == 4


def test_what_is_free_is_paler_than_what_is_occupied_and_unknown_is_grey():
    occupancy = np.array([[0, 49, 100, -1]], np.int8)
    picture = draw_cells(occupancy, np.full((1, 4), ROAD, np.uint8), CITYSCAPES, scale=1)
    unknown, occupied, hardly, free = picture[:, 0].astype(int)
    assert tuple(occupied) == CITYSCAPES[ROAD].color
    assert (free > hardly).all()
    assert (hardly > occupied + 30).all()
    assert np.ptp(unknown) < 5


def test_a_mark_is_drawn_at_its_place_with_an_arrow_along_its_way():
    picture = draw_cells(*empty(STREET), CITYSCAPES, scale=6)
    # 12 pixels a metre: x 21 of 36 m, y 6 to the left.
    draw_marks(picture, [Mark((21.0, 6.0), (10.0, 0.0), "car 4", GREEN)], STREET)
    column, row = (12 - 6) * 12, (36 - 21) * 12
    assert tuple(picture[row, column]) == GREEN
    shaft = picture[row - 80 : row - 20, column]
    assert (shaft == GREEN).all()
    assert not has(picture[row + 12 :], GREEN)
    assert not has(picture[: row - 125], GREEN)


@pytest.mark.parametrize("velocity", [(0.0, 0.0), (0.3, 0.3)])
def test_what_hardly_moves_has_no_arrow(velocity):
    picture = draw_cells(*empty(STREET), CITYSCAPES, scale=6)
    draw_marks(picture, [Mark((21.0, 6.0), velocity, "", GREEN)], STREET)
    rows, columns = np.nonzero((picture == GREEN).all(axis=-1))
    assert np.ptp(rows) <= 10
    assert np.ptp(columns) <= 10


def test_texts_do_not_cover_each_other():
    alone, crowd = (draw_cells(*empty(STREET), CITYSCAPES, scale=6) for _ in range(2))
    mark = Mark((21.0, 6.0), (0.0, 0.0), "person 12", GREEN)
    draw_marks(alone, [mark], STREET)
    draw_marks(crowd, [mark._replace(position=(21.0 + 0.1 * k, 6.0)) for k in range(9)], STREET)
    # Four places beside a point, the others stay without a text.
    white = [(p == 255).all(axis=-1).sum() for p in (alone, crowd)]
    nothing = draw_cells(*empty(STREET), CITYSCAPES, scale=6)
    draw_marks(nothing, [], STREET)
    base = (nothing == 255).all(axis=-1).sum()
    assert 2 * (white[0] - base) < white[1] - base <= 4.5 * (white[0] - base)


def test_rings_are_ten_metres_apart_around_the_car():
    picture = draw_cells(*empty(STREET), CITYSCAPES, scale=6)
    before = picture.copy()
    draw_marks(picture, [], STREET)
    column = 12 * 12 + 40  # 40 pixels beside the middle, where no label is
    changed = np.flatnonzero((picture[:, column] != before[:, column]).any(axis=-1))
    for metres in (10, 20, 30):
        row = 36 * 12 - np.sqrt((metres * 12) ** 2 - 40**2)
        assert np.abs(changed - row).min() < 2
    assert len(changed) <= 3 * 4


def test_the_car_stands_on_base_link():
    picture = draw_cells(*empty(STREET), CITYSCAPES, scale=6)
    draw_marks(picture, [], STREET)
    # 1 m ahead of base_link, in the middle.
    assert tuple(picture[35 * 12, 12 * 12]) == (30, 30, 30)
    assert tuple(picture[31 * 12, 12 * 12]) != (30, 30, 30)


def test_the_whole_picture_has_a_legend_of_what_is_there():
    occupancy, classes = empty(STREET)
    occupancy[20:28], classes[20:28] = 0, ROAD
    occupancy[30, 40], classes[30, 40] = 100, CAR
    picture = draw(occupancy, classes, CITYSCAPES, STREET, scale=6)
    # 36 m and 2 m behind the car; 24 m and the legend.
    assert picture.shape == (38 * 12, 24 * 12 + 150, 3)
    legend = picture[:, 24 * 12 :]
    pale = tuple(draw_cells(np.array([[0]]), np.array([[ROAD]]), CITYSCAPES)[0, 0])
    assert has(legend, CITYSCAPES[CAR].color)
    assert has(legend, pale)
    assert not has(legend, CITYSCAPES[PERSON].color)
    assert not has(legend, CITYSCAPES[SIDEWALK].color)


def test_what_is_far_away_is_left_out():
    window = GridWindow(-10.0, -30.0, 70.0, 60.0, 0.5)
    occupancy, classes = empty(window)
    far, near = window.flat_index(np.array([50.0, 39.8]), np.array([0.0, 13.8]))
    for cell, class_id in ((far, PERSON), (near, CAR)):
        occupancy.ravel()[cell], classes.ravel()[cell] = 100, class_id
    picture = draw(occupancy, classes, CITYSCAPES, window, scale=2)
    # 40 m ahead, the window's 10 m behind; 14 m to either side, and the legend.
    assert picture.shape == (50 * 4, 28 * 4 + 150, 3)
    assert tuple(picture[0, 0]) == CITYSCAPES[CAR].color
    assert not has(picture, CITYSCAPES[PERSON].color)


def test_obstacles_are_drawn_a_cell_wider_to_all_sides():
    occupancy, classes = empty(STREET)
    occupancy[40, 60], classes[40, 60] = 100, CAR
    occupancy[40, 61] = 0
    picture = draw(occupancy, classes, CITYSCAPES, STREET, scale=2)[:, : 24 * 4]
    assert (picture == CITYSCAPES[CAR].color).all(axis=-1).sum() == 9 * 4


def test_arrays_of_another_window_are_refused():
    occupancy, classes = empty(WINDOW)
    with pytest.raises(ValueError, match=r"occupancy has shape \(4, 8\), .* the window \(48, 72\)"):
        draw(occupancy, classes, CITYSCAPES, STREET)
