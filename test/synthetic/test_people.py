import numpy as np
import pytest

from panoptic_ros.synthetic import bikes
from panoptic_ros.synthetic.people import figure, riding, walking


@pytest.mark.parametrize("phase", np.linspace(0, 2 * np.pi, 7))
@pytest.mark.parametrize("stride", [0.0, 1.0])
def test_a_walker_stands_on_the_ground_and_is_as_tall_as_said(phase, stride):
    person = figure(np.random.default_rng(3))
    positions, matrices = person.pose(walking(person.height, phase, stride))
    sizes = np.array([max(p.size) for p in person.parts()])
    assert len(positions) == len(matrices) == len(person.parts())
    assert positions[:, 2].min() > 0
    assert 0.9 * person.height < (positions[:, 2] + sizes).max() < 1.1 * person.height
    np.testing.assert_allclose(
        matrices @ matrices.transpose(0, 2, 1),
        np.broadcast_to(np.eye(3), matrices.shape),
        atol=1e-9,
    )


def test_legs_swing_against_each_other():
    joints = walking(1.8, np.pi / 2, 1.0)
    assert joints.feet[0, 0] == pytest.approx(-joints.feet[1, 0])
    assert joints.feet[0, 0] > 0.2
    assert joints.hands[0, 0] < joints.hands[1, 0]


@pytest.mark.parametrize("make", [bikes.bicycle, bikes.motorcycle])
def test_a_rider_sits_on_the_saddle_and_holds_the_bar(make):
    rng = np.random.default_rng(1)
    bike, person = make(rng), figure(rng, rider=True)
    joints = riding(bike, person.height, 0.7)
    assert joints.hip[2] > bike.saddle[2]
    np.testing.assert_allclose(joints.hands[1], bike.hand)
    np.testing.assert_allclose(joints.hands[0], bike.hand * [1, -1, 1])
