import numpy as np
import pytest

from panoptic_ros.grid.window import GridWindow


def test_lays_cells_out_as_an_occupancy_grid():
    window = GridWindow()
    assert window.shape == (200, 300)
    centers = window.centers()
    assert centers.shape == (200, 300, 2)
    np.testing.assert_allclose(centers[0, 0], [0.1, -19.9])
    np.testing.assert_allclose(centers[0, 1], [0.3, -19.9])
    np.testing.assert_allclose(centers[-1, -1], [59.9, 19.9])


def test_finds_the_cell_of_a_point():
    window = GridWindow(x_min=-1, y_min=-2, length=3, width=4, resolution=0.5)
    index = window.flat_index(*window.centers().reshape(-1, 2).T)
    assert index.tolist() == list(range(8 * 6))
    assert window.flat_index([2.01, -1.01, 0, 0], [0, 0, 2.01, -2.01]).tolist() == [-1] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 60.1}, "length 60.1 m is not a whole number"),
        ({"width": -4.0}, "width is -4.0; it must be in 0.1..200"),
        ({"resolution": 0.0}, "resolution is 0.0; it must be in 0.02..5"),
        ({"resolution": 0.02}, "resolution 0.02 m: .* 3163 cells from the vehicle, at most 2048"),
        ({"length": 200.0, "width": 200.0, "resolution": 0.05}, "larger cells or a smaller window"),
        ({"x_min": float("nan")}, "x_min is nan; it must be in -200..200"),
    ],
)
def test_refuses_windows_without_whole_cells(change, message):
    with pytest.raises(ValueError, match=message):
        GridWindow(**change)
