import math

import numpy as np
import pytest

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.grid_options import SemanticGridOptions
from panoptic_ros.grid.observation import GroundObservation
from panoptic_ros.grid.semantic_grid import SemanticGrid
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES, LabelClass, LabelSet

ROAD, SIDEWALK, POLE, PERSON, CAR = 7, 8, 17, 24, 26
HERE = Pose2D()
# 8 columns (x 0..4 m) by 4 rows (y -1..1 m).
SMALL = GridWindow(0.0, -1.0, 4.0, 2.0, 0.5)
# All around the car, for turning: 30 m by 30 m.
AROUND = GridWindow(-15.0, -15.0, 30.0, 30.0, 0.2)


def observe(window, state, classes, weight=1.0):
    state, classes = np.int8(state), np.uint8(classes)
    shape = window.shape
    known = np.broadcast_to(state, shape) >= 0
    return GroundObservation(
        np.broadcast_to(state, shape).copy(),
        np.broadcast_to(classes, shape).copy(),
        np.where(known, weight, 0).astype(np.float32),
        [],
        np.zeros(shape, np.int32),
        np.zeros(shape, np.uint8),
    )


def nothing(window):
    return observe(window, -1, 0)


def one_cell(window, row, column, state, class_id, weight=1.0):
    observation = nothing(window)
    observation.state[row, column] = state
    observation.classes[row, column] = class_id
    observation.weight[row, column] = weight
    return observation


def seen_from(window, pose, obstacle, class_id=POLE):
    """Road all around, and an obstacle at a point of odom."""
    observation = observe(window, 0, ROAD)
    x, y = pose.inverse().apply(np.array(obstacle))
    cell = np.array([window.flat_index(x, y)])
    if cell[0] >= 0:
        observation.state.ravel()[cell] = 1
        observation.classes.ravel()[cell] = class_id
    return observation


def logit(p):
    return math.log(p / (1 - p))


def test_nothing_seen_is_unknown():
    grid = SemanticGrid(SMALL, CITYSCAPES)
    grid.update(nothing(SMALL), HERE, 0.0)
    layers = grid.layers()
    assert layers.occupancy.dtype == layers.cost.dtype == np.int8
    assert layers.classes.dtype == np.uint8
    assert layers.occupancy.shape == SMALL.shape == (4, 8)
    assert (layers.occupancy == -1).all()
    assert (layers.cost == -1).all()
    assert (layers.classes == 0).all()
    assert (layers.probability == 0.5).all()


def test_one_cell_lands_in_its_row_and_column_and_nowhere_else():
    grid = SemanticGrid(SMALL, CITYSCAPES)
    grid.update(one_cell(SMALL, 1, 6, 1, CAR), HERE, 0.0)
    layers = grid.layers()
    assert np.argwhere(layers.occupancy >= 0).tolist() == [[1, 6]]
    assert layers.classes[1, 6] == CAR


def test_log_odds_add_up_and_weights_temper_them():
    grid = SemanticGrid(
        SMALL, CITYSCAPES, SemanticGridOptions(hit_probability=0.7, miss_probability=0.4)
    )
    observation = one_cell(SMALL, 0, 0, 1, POLE)
    observation.state[0, 1], observation.classes[0, 1], observation.weight[0, 1] = 0, ROAD, 0.5
    for _ in range(2):
        grid.update(observation, HERE, 0.0)
    occupied, free = grid.layers().probability[0, :2]
    assert logit(occupied) == pytest.approx(2 * logit(0.7), abs=1e-5)
    assert logit(free) == pytest.approx(2 * 0.5 * logit(0.4), abs=1e-5)
    assert grid.layers().occupancy[0, :3].tolist() == [84, 40, -1]


def test_log_odds_stay_within_their_limit_so_that_a_change_is_believed():
    options = SemanticGridOptions(max_log_odds=2.0)
    grid = SemanticGrid(SMALL, CITYSCAPES, options)
    for _ in range(100):
        grid.update(observe(SMALL, 1, POLE), HERE, 0.0)
    assert logit(grid.layers().probability[0, 0]) == pytest.approx(2.0, abs=1e-5)
    for _ in range(5):
        grid.update(observe(SMALL, 0, ROAD), HERE, 0.0)
    assert (grid.layers().occupancy < 50).all()
    assert (grid.layers().classes == ROAD).all()


def test_class_counts_are_those_of_a_dirichlet_distribution():
    grid = SemanticGrid(SMALL, CITYSCAPES, SemanticGridOptions(class_prior=0.5))
    grid.update(one_cell(SMALL, 2, 3, 0, ROAD), HERE, 0.0)
    grid.update(one_cell(SMALL, 2, 3, 0, ROAD, weight=0.5), HERE, 0.0)
    grid.update(one_cell(SMALL, 2, 3, 0, SIDEWALK, weight=0.25), HERE, 0.0)
    assert grid.layers().class_probabilities is None
    found = grid.layers(class_probabilities=True).class_probabilities
    assert found.shape == (19, 4, 8)
    assert found.dtype == np.float32
    # 19 priors of 0.5, and 1.75 seen: 1.5 road, 0.25 sidewalk.
    total = 19 * 0.5 + 1.75
    assert found[:3, 2, 3].tolist() == pytest.approx([2 / total, 0.75 / total, 0.5 / total])
    np.testing.assert_allclose(found[:, 0, 0], 1 / 19, rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=1e-6)


def test_the_class_is_the_obstacle_s_where_one_is_likelier_else_the_ground_s():
    grid = SemanticGrid(SMALL, CITYSCAPES)
    for _ in range(3):
        grid.update(one_cell(SMALL, 0, 0, 0, ROAD), HERE, 0.0)
    assert grid.layers().classes[0, 0] == ROAD
    for _ in range(4):
        grid.update(one_cell(SMALL, 0, 0, 1, POLE), HERE, 0.0)
    assert grid.layers().classes[0, 0] == POLE


def test_an_obstacle_of_no_class_is_occupied_all_the_same():
    grid = SemanticGrid(SMALL, CITYSCAPES)
    grid.update(one_cell(SMALL, 0, 0, 1, 0), HERE, 0.0)
    layers = grid.layers()
    assert layers.occupancy[0, 0] == 80
    assert layers.classes[0, 0] == 0
    assert layers.cost[0, 0] == 80


@pytest.mark.parametrize(("class_id", "half_life"), [(POLE, 8.0), (CAR, 2.0)])
def test_evidence_fades_with_its_half_life(class_id, half_life):
    options = SemanticGridOptions(static_half_life=8.0, dynamic_half_life=2.0)
    grid = SemanticGrid(SMALL, CITYSCAPES, options)
    grid.update(observe(SMALL, 1, class_id), HERE, 0.0)
    before = logit(grid.layers().probability[0, 0])
    for k in range(1, 5):
        grid.update(nothing(SMALL), HERE, k * half_life / 4)
    assert logit(grid.layers().probability[0, 0]) == pytest.approx(before / 2, rel=1e-4)


def test_what_faded_is_unknown_again_and_what_was_never_seen_stays_so():
    grid = SemanticGrid(SMALL, CITYSCAPES, SemanticGridOptions(dynamic_half_life=1.0))
    grid.update(one_cell(SMALL, 0, 0, 1, CAR), HERE, 0.0)
    # Long enough to bring stored values back to scale, more than once.
    for k in range(1, 300):
        grid.update(nothing(SMALL), HERE, float(k))
    assert (grid.layers().occupancy == -1).all()
    assert (grid.layers().cost == -1).all()


def test_evidence_is_the_same_after_stored_values_were_brought_back_to_scale():
    options = SemanticGridOptions(static_half_life=1e6, dynamic_half_life=1.0)
    grid = SemanticGrid(SMALL, CITYSCAPES, options)
    grid.update(one_cell(SMALL, 0, 0, 1, POLE), HERE, 0.0)
    for k in range(1, 101):
        grid.update(nothing(SMALL), HERE, float(k))
    grid.update(one_cell(SMALL, 0, 1, 1, CAR), HERE, 101.0)
    assert grid.layers().occupancy[0, :2].tolist() == [80, 80]
    assert grid.layers().classes[0, :2].tolist() == [POLE, CAR]


def test_a_car_that_left_leaves_behind_what_was_known_of_the_road():
    grid = SemanticGrid(SMALL, CITYSCAPES, SemanticGridOptions(dynamic_half_life=0.5))
    for _ in range(5):
        grid.update(observe(SMALL, 0, ROAD), HERE, 0.0)
    for _ in range(10):
        grid.update(one_cell(SMALL, 1, 1, 1, CAR), HERE, 0.0)
    assert grid.layers().occupancy[1, 1] > 95
    grid.update(nothing(SMALL), HERE, 4.0)
    assert grid.layers().occupancy[1, 1] < 10
    assert grid.layers().classes[1, 1] == ROAD


def test_what_moves_is_believed_at_once_however_long_the_cell_was_free():
    grid = SemanticGrid(SMALL, CITYSCAPES)
    for _ in range(50):
        grid.update(observe(SMALL, 0, ROAD), HERE, 0.0)
    grid.update(one_cell(SMALL, 1, 1, 1, CAR, weight=0.6), HERE, 0.0)
    assert grid.layers().occupancy[1, 1] > 65
    assert grid.layers().classes[1, 1] == CAR
    for _ in range(2):
        grid.update(observe(SMALL, 0, ROAD), HERE, 0.0)
    assert grid.layers().occupancy[1, 1] < 10
    assert grid.layers().classes[1, 1] == ROAD


def test_a_whole_cell_shift_moves_the_cells_exactly():
    grid = SemanticGrid(SMALL, CITYSCAPES)
    rng = np.random.default_rng(0)
    observation = observe(SMALL, 0, ROAD)
    observation.state[:] = rng.integers(-1, 2, SMALL.shape)
    observation.classes[:] = np.choose(observation.state + 1, [0, ROAD, POLE])
    grid.update(observation, HERE, 0.0)
    before = grid.layers()
    grid.update(nothing(SMALL), Pose2D(1.0, -0.5, 0.0), 0.0)
    after = grid.layers()
    # The car went 2 columns on and 1 row to the right.
    np.testing.assert_array_equal(after.occupancy[1:, :-2], before.occupancy[:-1, 2:])
    np.testing.assert_array_equal(after.classes[1:, :-2], before.classes[:-1, 2:])
    assert (after.occupancy[0] == -1).all()
    assert (after.occupancy[:, -2:] == -1).all()


def test_a_quarter_turn_turns_the_cells_exactly():
    square = GridWindow(-1.0, -1.0, 2.0, 2.0, 0.5)
    grid = SemanticGrid(square, CITYSCAPES)
    grid.update(one_cell(square, 0, 3, 1, POLE), HERE, 0.0)  # right ahead: x 0.75, y -0.75
    grid.update(nothing(square), Pose2D(0.0, 0.0, math.pi / 2), 0.0)  # left turn: now behind
    assert np.argwhere(grid.layers().occupancy > 50).tolist() == [[0, 0]]


def test_driving_there_and_back_and_turning_around_leaves_one_sharp_cell():
    """100 m on, 100 m back in a slight bend's yaw, then 360 degrees in steps of 5."""
    pole = (6.1, 2.1)  # the middle of a cell of the memory
    way = [Pose2D(0.37 * k, 0.0, 0.02) for k in range(270)]
    way += way[::-1]
    way += [Pose2D(0.0, 0.0, 0.02 + math.radians(5 * k)) for k in range(73)]
    grid = SemanticGrid(AROUND, CITYSCAPES, SemanticGridOptions(static_half_life=1e4))
    for k, pose in enumerate(way):
        grid.update(seen_from(AROUND, pose, pole), pose, 0.1 * k)
    grid.update(nothing(AROUND), HERE, 0.1 * len(way))
    occupied = np.argwhere(grid.layers().occupancy > 50)
    x, y = AROUND.centers()[tuple(occupied.T)].T
    assert list(zip(x.round(6), y.round(6), strict=True)) == [pole]


def test_the_memory_forgets_what_is_out_of_reach():
    grid = SemanticGrid(SMALL, CITYSCAPES)
    grid.update(observe(SMALL, 1, POLE), HERE, 0.0)
    for pose in (Pose2D(500.0, 0.0, 0.0), Pose2D(0.0, 0.0, 0.0)):
        grid.update(nothing(SMALL), pose, 0.0)
        assert (grid.layers().occupancy == -1).all()


def test_far_from_the_origin_of_odom_cells_are_as_exact():
    grid = SemanticGrid(SMALL, CITYSCAPES)
    pose = Pose2D(123_456.0, -98_765.5, 0.0)
    grid.update(one_cell(SMALL, 3, 2, 1, POLE), pose, 0.0)
    assert np.argwhere(grid.layers().occupancy > 50).tolist() == [[3, 2]]


def test_without_a_pose_the_grid_shows_one_frame():
    grid = SemanticGrid(SMALL, CITYSCAPES)
    grid.update(one_cell(SMALL, 0, 0, 1, POLE), None, 0.0)
    grid.update(one_cell(SMALL, 3, 5, 1, POLE), None, 0.1)
    assert np.argwhere(grid.layers().occupancy >= 0).tolist() == [[3, 5]]


def test_time_that_jumps_back_starts_anew():
    grid = SemanticGrid(SMALL, CITYSCAPES)
    grid.update(observe(SMALL, 1, POLE), HERE, 10.0)
    grid.update(nothing(SMALL), HERE, 2.0)
    assert (grid.layers().occupancy == -1).all()


def test_a_cost_is_what_both_cases_cost_on_average():
    options = SemanticGridOptions(hit_probability=0.75, costs={"car": 60, "road": 8})
    grid = SemanticGrid(SMALL, CITYSCAPES, options)
    grid.update(one_cell(SMALL, 0, 0, 1, CAR), HERE, 0.0)
    assert grid.layers().cost[0, 0] == 45  # 0.75 * 60; of the ground nothing is known
    grid = SemanticGrid(SMALL, CITYSCAPES, options)
    for _ in range(30):
        grid.update(one_cell(SMALL, 0, 0, 0, ROAD), HERE, 0.0)
    # 0.982 * 8: an obstacle there was never seen and has the highest cost, 0.018 * 100.
    assert grid.layers().cost[0, 0] == 10


def test_a_person_costs_more_than_terrain():
    grid = SemanticGrid(SMALL, CITYSCAPES)
    observation = one_cell(SMALL, 0, 0, 1, PERSON)
    observation.state[0, 1], observation.classes[0, 1], observation.weight[0, 1] = 0, 22, 1
    for _ in range(5):
        grid.update(observation, HERE, 0.0)
    person, terrain = grid.layers().cost[0, :2]
    assert person > 95
    assert 40 < terrain < 60


def test_costs_of_classes_that_are_not_there_are_refused():
    options = SemanticGridOptions(costs={"persn": 100})
    with pytest.raises(ValueError, match=r"costs: no class 'persn' in label set 'cityscapes'"):
        SemanticGrid(SMALL, CITYSCAPES, options)


def test_class_ids_that_a_cell_cannot_hold_are_refused():
    labels = LabelSet("wide", (LabelClass(300, "road", False, (0, 0, 0)),))
    with pytest.raises(ValueError, match=r"label set 'wide' has class id 300; .* holds 0..255"):
        SemanticGrid(SMALL, labels)


def test_arrays_of_another_window_are_refused():
    grid = SemanticGrid(SMALL, CITYSCAPES)
    with pytest.raises(ValueError, match=r"state has shape \(150, 150\), the window \(4, 8\)"):
        grid.update(nothing(AROUND), HERE, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hit_probability": 0.5}, r"hit_probability is 0.5; it must be in 0.51..0.99"),
        ({"miss_probability": 0.6}, r"miss_probability is 0.6; it must be in 0.01..0.49"),
        ({"dynamic_half_life": 0.0}, r"dynamic_half_life is 0.0; it must be in 0.1..1e\+06"),
        ({"static_half_life": math.nan}, r"static_half_life is nan"),
        ({"costs": {"car": 101}}, r"costs: 101 for class 'car'; it must be in 0..100"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SemanticGridOptions(**options)
