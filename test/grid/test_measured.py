import numpy as np
import pytest
from ground_scenes import CAR, SIGN, VEGETATION, WINDOW, Box, camera, cell, observe, pose, render

from panoptic_ros.grid.observation import FREE, OCCUPIED

# Hangs 0.5 m above the ground: its lower edge is seen against ground 18 m ahead.
FLOATING = Box(CAR, (12, -1, 0.5), (14, 1, 2))


def occupied(observation):
    return WINDOW.centers()[observation.state == OCCUPIED]


def points_of(at, depth, model, step=3):
    """Points in base_link of every few pixels of a depth image."""
    rows, columns = np.nonzero(depth)
    rows, columns = rows[::step], columns[::step]
    optical = model.rays(np.column_stack([columns, rows])) * depth[rows, columns][:, None]
    return (optical @ at[:3, :3].T + at[:3, 3]).astype(np.float32)


@pytest.mark.parametrize("kind", ["depth", "points"])
@pytest.mark.parametrize("at", [{}, {"pitch": 0.05, "roll": 0.03, "y": 0.4}])
def test_measurements_place_obstacles_instead_of_the_contact_edge(kind, at):
    model, at = camera(), pose(**at)
    labels, depth = render(model, at, [FLOATING])
    given = {"depth": depth} if kind == "depth" else {"points": points_of(at, depth, model)}
    seen = observe(model, at, labels, **given)
    assert occupied(seen)[:, 0].min() == pytest.approx(12.1)
    assert np.median(occupied(seen)[:, 0]) == pytest.approx(12.1, abs=0.21)
    assert (seen.classes[seen.state == OCCUPIED] == 26).all()
    (car,) = seen.instances
    assert car.position == pytest.approx((12, 0), abs=0.15)
    assert car.width == pytest.approx(2, abs=0.15)
    assert seen.state[cell(8, 0.1)] == FREE
    # Ground shows below it, but that is where it stands.
    assert seen.state[cell(13, 0.1)] != FREE
    by_edge = observe(model, at, labels).instances[0]
    assert by_edge.position[0] > 13
    assert np.trace(car.covariance) < np.trace(by_edge.covariance)


@pytest.mark.parametrize("kind", ["depth", "points"])
def test_only_what_is_in_the_way_is_an_obstacle(kind):
    model, at = camera(), pose()
    above = Box(VEGETATION, (10, -3, 2.8), (14, 3, 4))
    low = Box(CAR, (9, -3, 0), (9.3, 3, 0.15))
    labels, depth = render(model, at, [above, low])
    given = {"depth": depth} if kind == "depth" else {"points": points_of(at, depth, model)}
    assert len(occupied(observe(model, at, labels, **given))) == 0
    seen = observe(model, at, labels, **given, clearance=3.5, min_height=0.1)
    # The low thing is the first in the way on every line of sight.
    assert set(seen.classes[seen.state == OCCUPIED]) == {26}


def test_points_above_the_picture_occupy_without_a_class():
    # The picture ends 1.2 m above the camera at 12 m: 2.4 m high is out of it.
    labels, _ = render(camera(height=50), pose(pitch=0.1), [])
    points = np.array([[13.5, 0.0, 2.4], [np.nan, 0, 1], [-13.5, 0, 1], [13.5, 0, 2.6]])
    seen = observe(camera(height=50), pose(pitch=0.1), labels, points=points)
    np.testing.assert_allclose(occupied(seen), [[13.7, 0.1]], atol=0.21)
    assert set(seen.classes[seen.state == OCCUPIED]) == {0}
    assert seen.instances == []


def test_depth_without_measurements_places_nothing():
    labels, depth = render(camera(), pose(), [FLOATING])
    for nothing in (0, np.nan, np.inf):
        seen = observe(camera(), pose(), labels, depth=np.full_like(depth, nothing))
        assert len(occupied(seen)) == 0
        assert seen.instances == []
        assert seen.state[cell(8, 0.1)] == FREE


def test_of_depth_and_points_the_nearer_one_counts():
    labels, depth = render(camera(), pose(), [FLOATING])
    points = np.array([[9.0, 0.0, 1.0]])
    seen = observe(camera(), pose(), labels, depth=depth, points=points)
    ((x, y),) = occupied(observe(camera(), pose(), labels, points=points))
    assert (x, abs(y)) == pytest.approx((9.1, 0.1))
    assert seen.state[cell(x, y)] == OCCUPIED
    assert np.median(occupied(seen)[:, 0]) == pytest.approx(12.1)


def test_a_sign_in_the_way_is_placed_where_it_is_measured():
    labels, depth = render(camera(), pose(), [Box(SIGN, (8, -0.5, 1.6), (8.1, 0.5, 2.2))])
    seen = observe(camera(), pose(), labels, depth=depth)
    assert np.median(occupied(seen)[:, 0]) == pytest.approx(8.1)
    assert (seen.classes[seen.state == OCCUPIED] == SIGN).all()
    # The ground that shows below it is free.
    assert seen.state[cell(16, 0.1)] == FREE
