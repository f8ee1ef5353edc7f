import numpy as np
from ground_scenes import WINDOW, camera, pose, viewpoint

from panoptic_ros.grid.lookup import CellLookup, PixelFinder, SightLines, needed_pixels

HEIGHT, FOCAL = 1.5, 500.0


def finder(hidden=None) -> PixelFinder:
    return PixelFinder(viewpoint(camera(focal=FOCAL), pose(z=HEIGHT)), hidden)


def row_at(distance):
    """Row of the picture that shows the ground at a distance ahead of the camera."""
    return 199.5 + FOCAL * HEIGHT / distance


def test_a_cell_that_falls_between_pixels_has_both():
    lookup = CellLookup.build(finder(), WINDOW, (0.0,), 10.0)
    cell = int(WINDOW.flat_index(35.1, 0.1))
    (place,) = np.flatnonzero(lookup.cells == cell)
    near, far = (index[0, place] // 800 for index in (lookup.near, lookup.far))
    assert near - far == 1
    assert far <= row_at(33.6) <= near
    assert lookup.distance[place] == np.float32(np.hypot(33.6, 0.1))


def test_a_near_cell_has_pixels_within_itself():
    lookup = CellLookup.build(finder(), WINDOW, (0.0,), 10.0)
    cell = int(WINDOW.flat_index(6.1, 0.1))
    (place,) = np.flatnonzero(lookup.cells == cell)
    near, far = (index[0, place] // 800 for index in (lookup.near, lookup.far))
    assert row_at(4.7) - 1 <= far < near <= row_at(4.5) + 1


def test_pixels_that_tables_share_are_needed_once():
    tables = np.array([[3, 7, 3], [19, 0, 7]]), np.array([7, 12])
    pixels, *places = needed_pixels((4, 5), *tables)
    assert pixels.tolist() == [0, 3, 7, 12, 19]
    for table, place in zip(tables, places, strict=True):
        np.testing.assert_array_equal(pixels[place], table)


def test_footprints_are_metres_per_pixel():
    along, across = finder().footprint(np.array([[21.5, 0.0]]))
    np.testing.assert_allclose(along, 20**2 / (FOCAL * HEIGHT), rtol=1e-3)
    np.testing.assert_allclose(across, 20 / FOCAL, rtol=1e-3)


def test_raised_ground_is_looked_up_further_up():
    lookup = CellLookup.build(finder(), WINDOW, (0.0, 0.15), 10.0)
    flat, raised = lookup.near
    assert (raised // 800 <= flat // 800).all()
    assert (raised // 800 < flat // 800).mean() > 0.9


def test_hidden_pixels_show_nothing():
    hidden = np.zeros((400, 800), bool)
    hidden[:, :400] = True
    lookup = CellLookup.build(finder(hidden), WINDOW, (0.0,), 10.0)
    assert (WINDOW.centers().reshape(-1, 2)[lookup.cells, 1] < 0).all()


def test_lines_cover_the_cells_in_sight():
    lookup = CellLookup.build(finder(), WINDOW, (0.0,), 10.0)
    lines = SightLines.build(finder(), WINDOW, lookup.bearing)
    of_cell = lines.line_of(lookup.bearing)
    assert (of_cell >= 0).all()
    assert np.abs(lines.bearings[of_cell] - lookup.bearing).max() <= lines.step / 2 + 1e-9
    assert lines.line_of(np.array([np.pi, -np.pi])).tolist() == [-1, -1]
    middle = int(lines.line_of(np.zeros(1))[0])
    shown = lines.seen[:, middle] == 1
    ahead = lines.distances[shown] * np.cos(lines.bearings[middle])
    np.testing.assert_allclose(lines.rows[shown, middle], row_at(ahead), rtol=1e-5)
    # No row is left out where rows are what limits.
    assert np.abs(np.diff(lines.rows[shown, middle])[ahead[1:] > 15]).max() <= 1
