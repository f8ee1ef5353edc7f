"""What moves, on windows of few cells and observations that are painted."""

from dataclasses import replace

import numpy as np
import pytest

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.dynamic_grid import DynamicGrid, Motion
from panoptic_ros.grid.grid_options import DynamicGridOptions
from panoptic_ros.grid.observation import GroundObservation, Sight
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES

ROAD, BUILDING, PERSON, CAR = 7, 11, 24, 26
CAR_1 = 26000
# 16 m by 8 m: 80 columns by 40 rows.
WINDOW = GridWindow(0.0, -4.0, 16.0, 8.0, 0.2)
STEP = 0.1


def seen(*blocks, pose=None, sight=Sight.NEVER_SEEN):
    """Return road with blocks (x, y of the corner in odom, metres, class): 1 m by 1 m."""
    shape = WINDOW.shape
    state, classes = np.zeros(shape, np.int8), np.full(shape, ROAD, np.uint8)
    ids = np.zeros(shape, np.int32)
    centers = (pose or Pose2D()).apply(WINDOW.centers())
    for x, y, class_id in blocks:
        inside = ((centers >= (x, y)) & (centers < (x + 1, y + 1))).all(axis=-1)
        state[inside], classes[inside], ids[inside] = 1, class_id, class_id * 1000
    sights = np.full(shape, sight, np.uint8)
    return GroundObservation(state, classes, np.ones(shape, np.float32), [], ids, sights)


def grid(**options):
    return DynamicGrid(WINDOW, CITYSCAPES, DynamicGridOptions(**options))


def drive(dynamic, frames, place, class_id=CAR, pose_of=lambda time: Pose2D(), motions=()):
    """Show a block that is at `place(time)`; return layers and the block's cells at the end."""
    for number in range(frames):
        time = number * STEP
        observation = seen((*place(time), class_id), pose=pose_of(time))
        dynamic.update(observation, pose_of(time), time, motions)
    return dynamic.layers(), observation.state == 1


def mean_velocity(layers, cells):
    return np.nanmean(layers.velocity[:, cells], axis=1)


def test_a_block_that_drives_is_dynamic_and_its_velocity_is_found():
    dynamic = grid()
    early, cells = drive(dynamic, 4, lambda t: (2 + 4 * t, 1 - 2 * t))
    spread = np.nanmedian(early.covariance[0, cells])
    late, cells = drive(grid(), 25, lambda t: (2 + 4 * t, 1 - 2 * t))
    assert (late.dynamic > late.static)[cells].mean() > 0.8
    np.testing.assert_allclose(mean_velocity(late, cells), (4, -2), atol=0.5)
    assert np.nanmedian(late.covariance[0, cells]) < spread
    assert np.isnan(late.velocity[:, 0, 0]).all()
    # Where it came from is free again.
    assert late.empty[WINDOW.shape[0] // 2 + 7, 12] > 0.8


def test_a_block_that_stands_stays_static():
    layers, cells = drive(grid(), 10, lambda _: (5, 1))
    assert layers.static[cells].min() > 0.7
    assert np.isnan(layers.velocity).all()
    total = layers.empty + layers.static + layers.dynamic + layers.unknown
    np.testing.assert_allclose(total, 1, atol=1e-5)
    for probability in (layers.empty, layers.static, layers.dynamic, layers.unknown):
        assert probability.min() >= 0


def test_a_building_is_never_dynamic():
    layers, cells = drive(grid(), 10, lambda t: (2 + 4 * t, 1), BUILDING)
    assert layers.dynamic.max() == 0
    assert layers.static[cells].max() > 0.5


@pytest.mark.parametrize("speed", [0.0, 3.0])
def test_the_own_motion_is_no_motion_of_others(speed):
    """From a car that drives and turns, a parked car stands and a driving one drives."""

    def own(time):
        return Pose2D(3 * time, 0.0, 0.1 * time)

    layers, cells = drive(grid(), 20, lambda t: (6 + speed * t, 1), pose_of=own)
    if speed == 0:
        assert (layers.dynamic > layers.static)[cells].mean() < 0.1
    else:
        assert (layers.dynamic > layers.static)[cells].mean() > 0.7
        back = Pose2D(yaw=-own(1.9).yaw)
        np.testing.assert_allclose(
            mean_velocity(layers, cells), back.apply(np.array([3.0, 0.0])), atol=0.5
        )


def test_a_track_tells_at_once_what_moves_and_how():
    def first_sight(velocity):
        motion = Motion(CAR_1, velocity, 0.04 * np.eye(2))
        return drive(grid(), 2, lambda _: (5, 1), motions=[motion])

    layers, cells = first_sight((6.0, 0.0))
    np.testing.assert_allclose(mean_velocity(layers, cells), (6, 0), atol=0.3)
    assert np.nanmax(layers.covariance[0, cells]) < 1
    rest, cells = first_sight((0.0, 0.0))
    assert (rest.static > rest.dynamic)[cells].all()
    alone, cells = drive(grid(track_weight=0.0), 2, lambda _: (5, 1))
    assert rest.static[cells].mean() > alone.static[cells].mean()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_velocity_that_is_no_number_tells_nothing(bad):
    wrong = [Motion(CAR_1, (bad, 0.0), np.eye(2)), Motion(CAR_1, (0.0, 0.0), np.full((2, 2), bad))]
    layers, _ = drive(grid(), 3, lambda _: (5, 1), motions=wrong)
    alone, _ = drive(grid(), 3, lambda _: (5, 1))
    np.testing.assert_array_equal(layers.dynamic, alone.dynamic)


def test_a_velocity_that_is_known_exactly_has_no_spread():
    motion = Motion(CAR_1, (6.0, 0.0), np.zeros((2, 2)))
    layers, cells = drive(grid(track_weight=1.0), 2, lambda _: (5, 1), motions=[motion])
    np.testing.assert_allclose(mean_velocity(layers, cells), (6, 0), atol=0.1)


def test_a_pose_that_is_no_number_is_refused_and_forgets_nothing():
    dynamic = grid()
    drive(dynamic, 5, lambda _: (5, 1))
    with pytest.raises(ValueError, match="pose: x is nan"):
        dynamic.update(seen(), Pose2D(np.nan), 0.5)
    assert dynamic.layers().static.max() > 0.7


def test_unknown_cells_say_why_and_known_ones_do_not():
    dynamic, observation = grid(), seen()
    observation.state[:3] = -1
    observation.sight[:3] = np.array([[Sight.OUT_OF_VIEW], [Sight.HIDDEN], [Sight.TOO_COARSE]])
    for number in range(4):
        dynamic.update(observation, Pose2D(), number * STEP)
    layers = dynamic.layers()
    reasons = [Sight.OUT_OF_VIEW, Sight.HIDDEN, Sight.TOO_COARSE, Sight.KNOWN]
    assert layers.sight[:4, 0].tolist() == reasons
    assert layers.unknown[:3].min() == 1


def test_the_distance_is_to_the_nearest_obstacle():
    layers, cells = drive(grid(), 5, lambda _: (5, 1), BUILDING)
    rows, columns = np.nonzero(cells)
    assert (layers.distance[cells] == 0).all()
    for dx, dy in ((10, 0), (3, 4)):
        there = layers.distance[rows.max() + dy, columns.max() + dx]
        assert there == pytest.approx(0.2 * np.hypot(dx, dy), abs=1e-3)
    nothing = grid()
    nothing.update(seen(), Pose2D(), 0.0)
    assert np.isinf(nothing.layers().distance).all()


def test_before_anything_is_seen_all_is_unknown():
    empty = grid()
    observation = seen()
    observation.state[:] = -1
    empty.update(observation, Pose2D(), 0.0)
    layers = empty.layers()
    assert layers.unknown.min() == 1
    assert np.isnan(layers.velocity).all()
    assert (layers.sight == Sight.NEVER_SEEN).all()


@pytest.mark.parametrize(
    ("time", "pose"), [(-5.0, Pose2D()), (0.4, None)], ids=["time goes back", "no pose"]
)
def test_what_was_known_is_forgotten(time, pose):
    dynamic = grid()
    drive(dynamic, 5, lambda _: (5, 1))
    observation = seen()
    observation.state[:] = -1
    dynamic.update(observation, pose, time)
    assert dynamic.layers().unknown.min() == 1


def test_a_stamp_that_stands_still_moves_nothing():
    dynamic = grid()
    _, cells = drive(dynamic, 10, lambda t: (2 + 4 * t, 1))
    dynamic.update(seen((5.6, 1, CAR)), Pose2D(), 0.9)
    after = dynamic.layers()
    assert np.isfinite(after.dynamic).all()
    assert (after.dynamic > after.static)[cells].mean() > 0.7


def test_what_is_out_of_sight_for_long_is_forgotten():
    dynamic = grid()
    drive(dynamic, 10, lambda t: (2 + 4 * t, 1))
    observation = seen()
    observation.state[:] = -1
    dynamic.update(observation, Pose2D(), 60.0)
    assert dynamic.layers().dynamic.max() < 0.01


def test_what_moved_may_fade_until_it_is_worth_no_particle():
    dynamic = grid()
    drive(dynamic, 5, lambda t: (2 + 4 * t, 1))
    nothing = replace(seen(), weight=np.zeros(WINDOW.shape, np.float32))
    for time in np.arange(1.0, 30.0, 0.5):
        dynamic.update(nothing, Pose2D(), float(time))
        assert np.isfinite(dynamic.layers().dynamic).all()
    assert dynamic.layers().dynamic.max() == 0


def test_few_particles_are_enough_for_much_that_moves():
    dynamic = grid(particles=100)
    for number in range(10):
        blocks = [(2 + x + 4 * number * STEP, y, CAR) for x in (0, 3, 6) for y in (-3, 0, 2)]
        dynamic.update(seen(*blocks), Pose2D(), number * STEP)
    assert 0 < dynamic.layers().dynamic.max() <= 1


def test_refuses_an_observation_of_another_window():
    other = DynamicGrid(GridWindow(), CITYSCAPES)
    with pytest.raises(ValueError, match=r"state has shape \(40, 80\), the window \(200, 300\)"):
        other.update(seen(), Pose2D(), 0.0)
