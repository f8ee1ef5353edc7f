import numpy as np

from panoptic_ros.grid.layers import DynamicLayers
from panoptic_ros.grid.velocity_blocks import velocity_blocks
from panoptic_ros.grid.window import GridWindow

WINDOW = GridWindow(0.0, -4.0, 8.0, 8.0, 0.5)


def layers(velocities):
    """Return what moves at points {(x, y): velocity}."""
    plane = np.full((2, *WINDOW.shape), np.nan, np.float32)
    for (x, y), velocity in velocities.items():
        plane.reshape(2, -1)[:, WINDOW.flat_index(x, y)] = velocity
    return DynamicLayers(*[plane[0]] * 4, plane, plane, plane, plane[0])


def test_each_block_has_the_mean_of_its_cells():
    moving = {(0.25, 0.25): (4, 0), (1.25, 0.25): (2, 2), (6.25, -3.75): (0, -1)}
    places, velocities = velocity_blocks(layers(moving), WINDOW)
    np.testing.assert_allclose(places, [(0.75, 0.25), (6.25, -3.75)])
    np.testing.assert_allclose(velocities, [(3, 1), (0, -1)])


def test_where_nothing_moves_there_is_nothing():
    places, velocities = velocity_blocks(layers({}), WINDOW)
    assert places.shape == velocities.shape == (0, 2)
