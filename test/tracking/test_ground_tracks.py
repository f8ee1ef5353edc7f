import numpy as np
import pytest

from panoptic_ros.tracking.ground_tracks import GroundStates

UNIT = np.eye(2)[None]


def first(x=0.0, y=0.0, spread=1.0, speed=2.0):
    return GroundStates.first_seen(np.array([[x, y]]), spread * UNIT, speed)


def test_an_object_seen_once_has_no_velocity_yet():
    states = first(3.0, 4.0)
    np.testing.assert_array_equal(states.means, [[3, 4, 0, 0]])
    np.testing.assert_array_equal(states.covariances[0], np.diag([1, 1, 4, 4]))


def test_prediction_moves_on_and_grows_less_certain():
    states = GroundStates(np.array([[1.0, 2.0, 3.0, -1.0]]), np.diag([1.0, 1, 4, 4])[None])
    later = states.predicted(0.5, acceleration=2.0)
    np.testing.assert_allclose(later.means, [[2.5, 1.5, 3, -1]])
    # P = F P F' + Q with Q = a^2 [t^4/4, t^3/2; t^3/2, t^2] along each axis.
    q = 4 * np.array([[0.5**4 / 4, 0.5**3 / 2], [0.5**3 / 2, 0.5**2]])
    expected = np.array([[1 + 0.25 * 4, 0.5 * 4], [0.5 * 4, 4]]) + q
    for axis in (0, 1):
        index = np.ix_([axis, axis + 2], [axis, axis + 2])
        np.testing.assert_allclose(later.covariances[0][index], expected)
    assert later.covariances[0, 0, 1] == 0


def test_no_time_changes_nothing():
    states = first(1.0, 2.0)
    same = states.predicted(0.0, acceleration=2.0)
    np.testing.assert_array_equal(same.means, states.means)
    np.testing.assert_array_equal(same.covariances, states.covariances)


def test_an_equally_certain_sighting_meets_the_state_half_way():
    states = first(0.0, 0.0).updated(np.array([[2.0, 3.0]]), UNIT)
    np.testing.assert_allclose(states.means[0, :2], [1, 1.5])
    np.testing.assert_allclose(states.covariances[0, :2, :2], 0.5 * np.eye(2))


def test_a_sighting_beyond_the_gate_counts_for_less():
    # The squared distance is 8^2 / 2 = 32, so its variance is taken for 32 / 9.21.
    states = first(0.0, 0.0).updated(np.array([[8.0, 0.0]]), UNIT)
    assert states.means[0, 0] == pytest.approx(8 / (1 + 32 / 9.21))


def test_velocity_is_found():
    states = first(0.0, 0.0, spread=0.01, speed=5.0)
    for step in range(1, 21):
        states = states.predicted(0.1, acceleration=1.0)
        states = states.updated(np.array([[0.1 * step, -0.3 * step]]), 0.01 * UNIT)
    np.testing.assert_allclose(states.means[0], [2, -6, 1, -3], atol=0.05)
    assert (np.linalg.eigvalsh(states.covariances) > 0).all()


def test_distances_are_in_standard_deviations():
    states = GroundStates.stack([first(0.0, 0.0, 3.0), first(10.0, 0.0, 8.0)])
    distances = states.distances(np.array([[4.0, 0.0], [0.0, 2.0], [10.0, 9.0]]), UNIT)
    assert distances == pytest.approx(np.array([[4, 1, 181 / 4], [4, 104 / 9, 9]]))
