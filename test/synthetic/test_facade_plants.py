import numpy as np
import pytest

from panoptic_ros.synthetic import buildings, facade_plants
from panoptic_ros.synthetic.mesh import merge
from panoptic_ros.synthetic.old_town import build_old_town
from panoptic_ros.synthetic.relief import Relief
from panoptic_ros.synthetic.scene import SceneBuilder
from panoptic_ros.synthetic.street_layout import make_street

VEGETATION = 21
WIDTH, DEPTH, FLOORS = 16.0, 10.0, 3
SLOPE = Relief(np.array([8.0]), np.array([100.0]), np.array([0.0]))


@pytest.fixture(scope="module")
def street():
    return make_street(np.random.default_rng(0))


def planted(street, seed, *, away=0.2, shops=False, relief=None):
    """Return one building on the left, and the vertices of what grows on it, in its frame."""
    rng = np.random.default_rng(seed)
    builder = SceneBuilder()
    center = street.to_world(20.0, street.frontage + away + DEPTH / 2)
    yaw = float(street.heading(20.0))
    buildings.add_building(builder, rng, center, yaw, (WIDTH, DEPTH), FLOORS, shops)
    if relief:
        builder.raise_on(relief)
    facade_plants.add(builder, street, relief, rng)
    (front,) = builder.fronts
    grown = [
        mesh
        for stretch, meshes in builder.stretches.items()
        for mesh in meshes
        if stretch.class_id == VEGETATION
    ]
    if not grown:
        return front, np.zeros((0, 3))
    points = merge(grown).vertices.reshape(-1, 3) - (*center, 0.0)
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    return front, np.concatenate([points[:, :2] @ turn.T, points[:, 2:]], axis=1)


@pytest.mark.parametrize("shops", [False, True])
def test_plants_lie_before_the_front_between_ground_and_roof(street, shops):
    several = [planted(street, seed, shops=shops) for seed in range(30)]
    some = [points for _, points in several if len(points)]
    assert 10 < len(some) < 30
    for points in some:
        assert np.abs(points[:, 0]).max() < WIDTH / 2 + 1.0
        assert points[:, 1].min() + DEPTH / 2 > -1.2
        assert points[:, 1].max() + DEPTH / 2 < 0.6
        assert points[:, 2].min() > -0.8
        assert points[:, 2].max() < several[0][0].top + 1.2


def test_a_front_is_the_side_that_looks_at_the_street(street):
    front, _ = planted(street, 0)
    local = np.array([0.0, -front.half[1]])
    turn = np.array(
        [[np.cos(front.yaw), -np.sin(front.yaw)], [np.sin(front.yaw), np.cos(front.yaw)]]
    )
    middle = turn @ local + front.center
    np.testing.assert_allclose(middle, street.to_world(20.0, street.frontage + 0.2), atol=0.1)
    assert (front.ground, front.top) == (0.4, 0.4 + FLOORS * buildings.FLOOR)


def test_far_fronts_have_none(street):
    assert not any(len(planted(street, seed, away=40.0)[1]) for seed in range(30))


def test_a_shops_ivy_comes_up_by_one_stem(street):
    for seed in range(60):
        front, points = planted(street, seed, shops=True)
        # Tubs end lower, baskets and boxes do not come to the wall's lower part.
        low = points[(points[:, 2] > 2.05) & (points[:, 2] < 2.2) & (points[:, 1] > -DEPTH / 2)]
        if len(low) and (points[:, 2] > front.ground + 2).sum() > 2000:
            assert np.ptp(low[:, 0]) < 3.0
            return
    pytest.fail("no seed has a climber")


def test_on_a_hill_boxes_keep_to_their_floor_and_tubs_to_the_ground(street):
    seeds = [s for s in range(40) if len(planted(street, s)[1])]
    on_ground = 0
    for seed in seeds[:8]:
        front, flat = planted(street, seed)
        _, hilly = planted(street, seed, relief=SLOPE)
        assert flat.shape == hilly.shape
        rise = hilly[:, 2] - flat[:, 2]
        level = float(SLOPE.height(front.center[0]))
        high = flat[:, 2] > 2.2
        np.testing.assert_allclose(rise[high], level, atol=1e-9)
        x_world = front.center[0] + np.cos(front.yaw) * flat[:, 0] - np.sin(front.yaw) * flat[:, 1]
        moved = np.abs(rise - level) > 1e-9
        np.testing.assert_allclose(rise[moved], SLOPE.height(x_world[moved]), atol=0.08)
        on_ground += moved.sum()
    assert on_ground


def test_old_towns_have_plants_on_their_fronts():
    grown = 0
    for seed in range(3):
        builder = SceneBuilder()
        rngs = [np.random.default_rng([seed, k]) for k in range(4)]
        build_old_town(builder, rngs)
        assert {"climber", "flowers"} <= builder.materials.keys()
        grown += any(s.material == "climber" for s in builder.stretches)
    assert grown == 3
