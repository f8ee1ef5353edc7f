import numpy as np
import pytest

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.depth_registration import register_depth, resized_depth


def camera(width=8, height=6, focal=10.0, **other):
    matrix = [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]
    return CameraModel(width, height, np.array(matrix), **other)


def shifted(x=0.0, y=0.0, z=0.0):
    """Return camera_from_depth of a depth camera that stands x right, y down, z ahead."""
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


def test_the_same_camera_sees_the_same():
    depth = np.arange(48, dtype=np.float32).reshape(6, 8)
    np.testing.assert_array_equal(register_depth(depth, camera(), camera(), np.eye(4)), depth)


def test_a_camera_beside_sees_things_shifted_by_their_disparity():
    depth = np.zeros((6, 8), np.float32)
    depth[2, 2], depth[4, 2] = 5.0, 10.0
    # 1 m to the right: 10 px * 1 m / 5 m, and / 10 m.
    found = register_depth(depth, camera(), camera(), shifted(x=1.0))
    assert found[2, 4] == 5.0
    assert found[4, 3] == 10.0
    assert (found > 0).sum() == 2


def test_a_camera_behind_sees_things_further_away():
    found = register_depth(np.full((6, 8), 4.0), camera(), camera(), shifted(z=0.5))
    assert set(np.unique(found)) <= {np.float32(0), np.float32(4.5)}
    assert found[3, 4] == 4.5
    assert found.dtype == np.float32


def test_a_turned_camera_sees_the_picture_turned():
    depth = np.zeros((6, 6), np.float32)
    depth[0, 5] = 3.0
    half_turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    found = register_depth(depth, camera(6, 6), camera(6, 6), half_turn)
    assert np.argwhere(found).tolist() == [[5, 0]]


def test_of_two_depths_on_a_pixel_the_nearer_one_counts():
    depth = np.zeros((6, 8), np.float32)
    # 0.5 m to the right both fall on column 4: (4 - 3.5) - 10 * 0.5 / z, from columns 3 and 2.
    depth[3, 3], depth[3, 2] = 5.0, 2.5
    found = register_depth(depth, camera(), camera(), shifted(x=0.5))
    assert found[3, 4] == 2.5
    assert (found > 0).sum() == 1


@pytest.mark.parametrize("nothing", [0.0, -1.0, np.nan, np.inf])
def test_what_is_not_measured_stays_so(nothing):
    depth = np.full((6, 8), nothing, np.float32)
    depth[1, 1] = 2.0
    found = register_depth(depth, camera(), camera(), np.eye(4))
    assert np.argwhere(found).tolist() == [[1, 1]]


def test_a_finer_picture_has_no_holes():
    fine = camera(16, 12, 20.0)
    found = register_depth(np.full((6, 8), 3.0), camera(), fine, np.eye(4))
    assert found.shape == (12, 16)
    assert (found == 3.0).all()


def test_a_coarser_picture_keeps_the_nearest_depths():
    depth = np.full((6, 8), 7.0)
    depth[0, 0] = 2.0
    found = register_depth(depth, camera(), camera(4, 3, 5.0), np.eye(4))
    assert found[0, 0] == 2.0
    assert (found.ravel()[1:] == 7.0).all()


def test_lenses_are_taken_out_and_put_in():
    bent = camera(64, 48, 60.0, model="plumb_bob", D=[-0.3, 0.1, 0, 0])
    plain = camera(64, 48, 60.0)
    depth = np.zeros((48, 64), np.float32)
    depth[5, 8] = 4.0
    pixel = plain.project(bent.rays(np.array([[8.0, 5.0]])))[0][0]
    found = register_depth(depth, bent, plain, np.eye(4))
    assert np.argwhere(found).tolist() == [np.rint(pixel[::-1]).astype(int).tolist()]


def test_a_depth_image_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"depth image is \(3, 4\) .*picture \(6, 8\)"):
        register_depth(np.ones((3, 4)), camera(), camera(), np.eye(4))


def test_registered_depth_of_another_size_is_not_mixed():
    depth = np.float32([[1, 9], [0, 5]])
    grown = resized_depth(depth, (4, 4))
    assert grown.shape == (4, 4)
    assert set(np.unique(grown)) == {0, 1, 5, 9}
    with pytest.raises(ValueError, match=r"depth has 2x2 pixels, the image 4x2"):
        resized_depth(depth, (2, 4))
