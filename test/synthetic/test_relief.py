import numpy as np
import pytest

from panoptic_ros.synthetic.mesh import box, quads
from panoptic_ros.synthetic.relief import Relief, make_relief
from panoptic_ros.synthetic.scene import Actor, SceneBuilder, StreetLamp

BUILDING, ROAD = 11, 7
X = np.linspace(-650, 650, 13001)
# One wave whose slope at x = 0 is 0.05.
WAVE = Relief(np.array([4.0]), np.array([80.0]), np.array([0.0]))


@pytest.mark.parametrize("seed", range(12))
def test_hills_start_at_the_car_and_are_no_steeper_and_no_sharper_than_a_road(seed):
    relief = make_relief(np.random.default_rng(seed))
    assert relief.height(0.0) == 0.0
    slope = np.gradient(relief.height(X), X)
    assert 0.01 < np.abs(slope).max() <= 0.0801
    assert np.abs(np.gradient(slope, X)).max() < 1 / 500


@pytest.mark.parametrize("x", [-120.0, 0.0, 33.0])
def test_a_tilt_turns_forward_into_the_slope(x):
    turn = WAVE.tilt(x)
    ahead = np.array([1.0, 0.0, (WAVE.height(x + 1e-4) - WAVE.height(x - 1e-4)) / 2e-4])
    np.testing.assert_allclose(turn[:, 0], ahead / np.linalg.norm(ahead), atol=1e-6)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)


def hill():
    """Return a builder with a bit of each kind around x = 100, raised on WAVE."""
    builder = SceneBuilder()
    ground = [[[90.0, 0, 0], [110, 0, 0], [110, 4, 0], [90, 4, 0]]]
    builder.static(ROAD, "road", quads(np.array(ground)))
    builder.static(BUILDING, "brick", box((20, 4, 6), (100, 9, 3)))
    builder.place("tree", "bark", 21, (100.0, -4.0, 0.05), 0.0)
    builder.lamps.append(StreetLamp((100.0, 3.0, 7.0), 7.0))
    builder.actors.append(Actor(26000, (4, 2, 1.5), [], lambda time: (100.0 + time, 1.0, 0.0, 0.0)))
    builder.raise_on(WAVE)
    return builder


def test_a_scene_is_raised_as_a_whole():
    builder = hill()
    road, brick = (meshes[0].vertices for meshes in builder.stretches.values())
    np.testing.assert_allclose(road[..., 2], WAVE.height(road[..., 0]))
    foot, roof = brick[..., 2] < 4, brick[..., 2] > 4
    # Walls stand on the slope, floors and roofs are level.
    np.testing.assert_allclose(brick[..., 2][foot], WAVE.height(brick[..., 0])[foot])
    np.testing.assert_allclose(brick[..., 2][roof], 6 + WAVE.height(100.0))
    lift = float(WAVE.height(100.0))
    assert builder.placed[0].position == (100.0, -4.0, 0.05 + lift)
    assert builder.lamps[0] == StreetLamp((100.0, 3.0, 7.0 + lift), 7.0)


def test_who_drives_follows_the_hill():
    (actor,) = hill().actors
    place, turn = actor.pose(5.0)
    np.testing.assert_allclose(place, [105.0, 1.0, WAVE.height(105.0)])
    np.testing.assert_allclose(turn, WAVE.tilt(105.0))
    assert actor.path(5.0) == (105.0, 1.0, 0.0, 0.0)
