import numpy as np
import pytest

from panoptic_ros.synthetic.street_layout import KERB, ROAD, SIDEWALK, TERRAIN, make_street


@pytest.mark.parametrize("seed", range(6))
def test_street_coordinates_survive_the_way_to_the_world_and_back(seed):
    street = make_street(np.random.default_rng(seed))
    s, t = np.meshgrid(np.linspace(-20, 200, 45), np.linspace(-20, 20, 9))
    back_s, back_t = street.to_street(street.to_world(s, t))
    np.testing.assert_allclose(back_s, s, atol=0.05)
    np.testing.assert_allclose(back_t, t, atol=0.05)


@pytest.fixture
def street():
    rng = np.random.default_rng(0)
    while True:
        street = make_street(rng)
        if street.verge and not street.median and street.parking:
            return street


def test_surfaces_follow_the_cross_section(street):
    s = street.crossings[0].s - 22.0
    t = np.array(
        [0.0, street.kerb - 0.1, street.kerb + 0.1, street.frontage - 0.1, street.frontage + 1]
    )
    classes, height = street.surface(s, t)
    assert classes.tolist() == [ROAD, ROAD, TERRAIN, SIDEWALK, TERRAIN]
    assert height[0] == 0
    assert height[3] == KERB
    np.testing.assert_array_equal(street.surface(s, -t)[0], classes)


def test_a_crossing_is_road_with_pavement_beside(street):
    c = street.crossings[0]
    s = np.array([c.s, c.s + c.half_width + 1.0, c.s + c.half_width + 4.0])
    assert street.surface(s, street.frontage + 20)[0].tolist() == [ROAD, SIDEWALK, TERRAIN]


def test_the_ego_car_starts_at_the_origin_of_the_street(street):
    np.testing.assert_allclose(street.to_world(0.0, 0.0), [0, 0], atol=1e-9)
    assert street.heading(0.0) == pytest.approx(0.0, abs=1e-9)
