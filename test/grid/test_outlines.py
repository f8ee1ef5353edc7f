import numpy as np
import pytest

from panoptic_ros.grid.outlines import Outlines
from panoptic_ros.labels import CITYSCAPES

CAR, PERSON, RIDER, BICYCLE = 26001, 24001, 25001, 33001
HEIGHT = 1.5
BEARINGS = np.linspace(-0.1, 0.1, 81)
FLAT = 10 / np.cos(BEARINGS)  # a face 10 m ahead


def straightened(distance, value):
    distance = np.array(distance, float)
    is_body = Outlines(CITYSCAPES, BEARINGS, HEIGHT).straighten(distance, np.array(value))
    return distance, is_body


def test_a_straight_edge_stays():
    distance, is_body = straightened(FLAT, np.full(81, CAR))
    np.testing.assert_allclose(distance, FLAT, rtol=1e-6)
    assert is_body.all()


def test_two_sides_that_meet_at_a_corner_stay():
    # Its sides fall away by 6 m per metre aside.
    slope = np.abs(np.tan(BEARINGS))
    distance = 8 / (1 - 6 * slope) / np.cos(BEARINGS)
    result, _ = straightened(distance, np.full(81, CAR))
    np.testing.assert_allclose(result, distance, rtol=1e-5)


def test_the_outline_runs_from_wheel_to_wheel():
    # A body 0.22 m above the ground is seen against ground 1.5 / 1.28 times further away.
    wheels = np.abs(np.abs(BEARINGS) - 0.08) < 0.015
    distance = np.where(wheels, FLAT, FLAT * HEIGHT / (HEIGHT - 0.22))
    inner = np.abs(BEARINGS) < 0.09
    result, _ = straightened(distance, np.full(81, CAR))
    np.testing.assert_allclose(result[inner], FLAT[inner], rtol=0.02)


def test_a_bumper_reaches_out_before_the_wheels():
    wheels = np.abs(np.abs(BEARINGS) - 0.085) < 0.02
    # Bumper 0.22 m above the ground at 10 m, wheels at 10.8 m.
    distance = np.where(wheels, FLAT * 1.08, FLAT * HEIGHT / (HEIGHT - 0.22))
    result, _ = straightened(distance, np.full(81, CAR))
    middle = np.abs(BEARINGS) < 0.05
    np.testing.assert_allclose(result[middle], FLAT[middle], rtol=0.01)


@pytest.mark.parametrize(("lines", "has_outline"), [(4, False), (5, True)])
def test_what_is_seen_on_four_lines_has_no_outline(lines, has_outline):
    value, distance = np.zeros(81, int), np.full(81, np.inf)
    seen = slice(40, 40 + lines)
    value[seen], distance[seen] = CAR, 11.0
    distance[[40, 39 + lines]] = 10.0
    result, is_body = straightened(distance, value)
    assert is_body[seen].all() == has_outline
    assert (result[41] < 10.5) == has_outline


def test_a_person_stands_on_the_nearest_point():
    distance = FLAT * 1.5
    distance[30:33] = 10.0
    result, is_body = straightened(distance, np.full(81, PERSON))
    assert result == pytest.approx(np.full(81, 10.0))
    assert not is_body.any()


def test_a_rider_is_where_the_bicycle_touches_the_ground():
    value = np.array([RIDER] * 20 + [BICYCLE] * 20 + [RIDER] * 2 + [0] * 39)
    distance = np.where(value == BICYCLE, 10.0, 14.0)
    distance[value == 0] = np.inf
    result, _ = straightened(distance, value)
    np.testing.assert_allclose(result[value == RIDER], 10, rtol=0.01)
    # Its rim and handlebars reach out.
    np.testing.assert_allclose(result[value == BICYCLE], 9.75, rtol=0.01)
    assert np.isinf(result[value == 0]).all()


@pytest.mark.parametrize(("gap", "expected"), [(0, 10.0), (2, 10.0), (3, 14.0)])
def test_a_bicycle_carries_a_rider_up_to_three_lines_beside_it(gap, expected):
    value = np.array([RIDER] * 20 + [0] * gap + [BICYCLE] * 20 + [0] * (41 - gap))
    distance = np.select([value == BICYCLE, value == RIDER], [10.0, 14.0], np.inf)
    result, _ = straightened(distance, value)
    np.testing.assert_allclose(result[value == RIDER], expected, rtol=0.001)


def test_a_rider_alone_stands_on_the_nearest_point():
    value = np.array([RIDER] * 20 + [0] * 61)
    distance = np.where(value == RIDER, np.linspace(12, 15, 81), np.inf)
    assert straightened(distance, value)[0][:20] == pytest.approx(np.full(20, 12.0))


def test_stuff_is_left_alone():
    distance = np.where(np.arange(81) % 2, 10.0, 14.0)
    result, is_body = straightened(distance, np.full(81, 11))
    np.testing.assert_array_equal(result, distance)
    assert not is_body.any()


def test_of_several_things_each_has_the_outline_that_it_has_alone():
    rng = np.random.default_rng(0)
    # Lines of three things lie between those of others; the last one stands by itself.
    value = np.repeat([CAR, PERSON, CAR + 1, BICYCLE, CAR, CAR + 1, CAR + 2, 0, CAR + 2], 9)
    distance = rng.uniform(8, 14, len(value))
    together, is_body = straightened(distance, value)
    for thing in np.unique(value[value > 0]):
        own = value == thing
        alone, is_own_body = straightened(distance, np.where(own, thing, 0))
        np.testing.assert_array_equal(together[own], alone[own])
        np.testing.assert_array_equal(is_body[own], is_own_body[own])


def test_what_is_all_around_the_camera_has_no_outline():
    bearings = np.linspace(-3, 3, 81)
    distance = np.linspace(2, 3, 81)
    is_body = Outlines(CITYSCAPES, bearings, HEIGHT).straighten(distance, np.full(81, CAR))
    np.testing.assert_array_equal(distance, np.linspace(2, 3, 81))
    assert not is_body.any()
