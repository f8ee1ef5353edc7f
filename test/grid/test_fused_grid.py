import numpy as np
import pytest

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.fused_grid import FusedGrid
from panoptic_ros.grid.observation import FREE, OCCUPIED, UNKNOWN, GroundObservation, Sight
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES

WINDOW = GridWindow(x_min=0.0, y_min=0.0, length=4.0, width=1.0, resolution=1.0)
ROAD, WALL = (CITYSCAPES.by_name[name].id for name in ("road", "wall"))
SECOND = 1_000_000_000


def seen(text):
    """Return an observation of a row of cells: . free, # occupied, ? unknown."""
    state = np.array([["?.#".index(c) - 1 for c in text]], np.int8)
    classes = np.select([state == FREE, state == OCCUPIED], [ROAD, WALL], 0).astype(np.uint8)
    weight = (state != UNKNOWN).astype(np.float32)
    ids, sight = np.zeros(state.shape, np.int32), np.zeros(state.shape, np.uint8)
    return GroundObservation(state, classes, weight, [], ids, sight)


def shown(grid):
    occupancy = grid.layers().occupancy[0]
    return "".join("?" if cell < 0 else ".#"[int(cell > 50)] for cell in occupancy)


@pytest.fixture
def grid():
    return FusedGrid(CITYSCAPES, WINDOW)


@pytest.mark.parametrize("pose", [Pose2D(), None])
def test_a_grid_is_of_all_cameras(grid, pose):
    assert grid.update("front", seen("..#?"), pose, 10 * SECOND)
    assert grid.update("rear", seen("???#"), pose, 10 * SECOND + 1)
    assert shown(grid) == "..##"


def test_an_older_view_is_taken_in_from_where_it_was_seen(grid):
    assert grid.update("front", seen("...?"), Pose2D(1.0, 0.0, 0.0), 10 * SECOND)
    assert not grid.update("rear", seen("???#"), Pose2D(), 10 * SECOND - SECOND // 2)
    assert grid.update("front", seen("??.?"), Pose2D(1.0, 0.0, 0.0), 10 * SECOND + 1)
    # Its last cell is the third one, a metre on. Nothing was forgotten.
    assert shown(grid)[:2] == ".."
    grid.update("rear", seen("????"), Pose2D(), 10 * SECOND + 2)
    assert shown(grid)[3] != "?"


def test_without_poses_only_the_last_second_is_shown(grid):
    grid.update("front", seen("#???"), None, 10 * SECOND)
    grid.update("front", seen("?#??"), None, 11 * SECOND)
    assert shown(grid) == "?#??"
    grid.update("rear", seen("???#"), None, 12 * SECOND)
    assert shown(grid) == "?#?#"
    grid.update("rear", seen("???#"), None, 12 * SECOND + 1)
    assert shown(grid) == "???#"


def test_a_camera_of_another_clock_is_left_out_and_forgets_nothing(grid):
    grid.update("front", seen("#???"), Pose2D(), 100 * SECOND)
    with pytest.raises(ValueError, match=r"5\.0 s behind another camera's"):
        grid.update("rear", seen("???#"), Pose2D(), 95 * SECOND)
    assert shown(grid) == "#???"


def test_a_camera_that_was_ahead_and_has_stopped_holds_up_nobody(grid):
    grid.update("front", seen("#???"), None, 100 * SECOND)
    for number in range(9):
        with pytest.raises(ValueError, match="behind another"):
            grid.update("rear", seen("???#"), None, (50 + number) * SECOND)
    # Whoever is ahead and goes on is believed.
    grid.update("front", seen("#???"), None, 101 * SECOND)
    for number in range(9):
        with pytest.raises(ValueError, match="behind another"):
            grid.update("rear", seen("???#"), None, (60 + number) * SECOND)
    assert grid.update("rear", seen("???#"), None, 70 * SECOND)
    assert shown(grid) == "???#"


def test_time_that_starts_again_starts_the_grid_anew(grid):
    grid.update("front", seen("#???"), Pose2D(), 100 * SECOND)
    grid.update("rear", seen("?#??"), Pose2D(), 100 * SECOND)
    assert grid.update("front", seen("???#"), Pose2D(), 1 * SECOND)
    assert shown(grid) == "???#"


def test_a_jump_of_the_vehicle_starts_the_grid_anew(grid):
    grid.update("front", seen("...?"), Pose2D(), 10 * SECOND)
    # What another camera saw half a second and three metres before is no jump.
    grid.update("rear", seen("???#"), Pose2D(-3.0, 0.0, 0.0), 10 * SECOND - SECOND // 2)
    grid.update("front", seen("????"), Pose2D(), 10 * SECOND + 1)
    assert shown(grid) == "#..?"
    grid.update("front", seen("??.?"), Pose2D(0.0, 3.0, 0.0), 10 * SECOND + 2)
    assert shown(grid) == "??.?"


def test_what_moves_is_of_all_cameras_too(grid):
    """The wall of one camera and the road of the other; each cell is seen as one of them does."""
    here = Pose2D()
    front, rear = seen("..??"), seen("???#")
    front.sight[:] = [Sight.NEVER_SEEN, Sight.NEVER_SEEN, Sight.HIDDEN, Sight.OUT_OF_VIEW]
    rear.sight[:] = [*[Sight.OUT_OF_VIEW] * 3, Sight.NEVER_SEEN]
    for number in range(5):
        grid.update("front", front, here, SECOND + 2 * number, ())
        grid.update("rear", rear, here, SECOND + 2 * number + 1, ())
    layers = grid.dynamic_layers()
    assert layers.empty[0, :2].min() > 0.7
    assert layers.static[0, 3] > 0.7
    assert layers.sight[0].tolist() == [Sight.KNOWN, Sight.KNOWN, Sight.HIDDEN, Sight.KNOWN]
    grid.update("front", front, here, 2 * SECOND)
    assert grid.dynamic_layers() is None
