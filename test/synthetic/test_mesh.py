import numpy as np
import pytest

from panoptic_ros.synthetic.mesh import (
    box,
    copies,
    disc,
    ellipsoid,
    from_triangles,
    prism,
    quads,
    torus,
    tube,
    wheel,
)


def volume(mesh):
    """Signed volume by the divergence theorem: positive where all faces look outwards."""
    a, b, c = mesh.vertices.transpose(1, 0, 2)
    return float((np.cross(a, b) * c).sum() / 6)


@pytest.mark.parametrize(
    ("mesh", "expected", "tolerance"),
    [
        (box((2, 3, 4)), 24.0, 1e-9),
        (box((2, 2, 1), center=(5, 5, 5)), 4.0, 1e-9),
        (prism([(0, 0), (2, 0), (2, 1), (0, 1)], 1.5), 6.0, 1e-9),
        (ellipsoid((1, 2, 3), (1, 1, 2), rings=24), 8 / 3 * np.pi, 0.1),
        (wheel((0, 0, 1), 1.0, 0.5, sides=64), np.pi / 2, 0.01),
        (torus((0, 0, 0), 1.0, 0.1, sides=64), 2 * np.pi**2 * 0.01, 0.04),
    ],
)
def test_closed_shapes_look_outwards_and_have_their_volume(mesh, expected, tolerance):
    assert volume(mesh) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(
    "shape", [prism([(0, 0), (2, 0), (2, 1)], 1.0, 0.1), torus((0, 0, 0), 1, 0.2)]
)
def test_normals_are_unit_and_on_the_outer_side(shape):
    np.testing.assert_allclose(np.linalg.norm(shape.normals, axis=-1), 1.0, atol=1e-9)
    flat = np.cross(
        shape.vertices[:, 1] - shape.vertices[:, 0], shape.vertices[:, 2] - shape.vertices[:, 0]
    )
    assert ((shape.normals * flat[:, None]).sum(-1) > 0).all()


def test_a_disc_faces_along_its_normal():
    mesh = disc((1, 2, 3), (0, 0, 1), 1.0, sides=4)
    np.testing.assert_allclose(
        mesh.normals, np.broadcast_to([0, 0, 1.0], mesh.normals.shape), atol=1e-12
    )
    np.testing.assert_allclose(mesh.vertices[..., 2], 3.0)


def test_triangles_without_area_are_left_out():
    flat = np.array([[[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 0, 0], [1, 0, 0], [0, 1, 0]]], float)
    mesh = from_triangles(flat)
    assert len(mesh) == 1
    np.testing.assert_allclose(mesh.normals[0, 0], [0, 0, 1])


def test_a_tube_is_as_long_and_wide_as_asked():
    mesh = tube(np.array([[0, 0, 0], [0, 0, 2.0]]), 0.5, sides=8)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices[..., :2], axis=-1), 0.5)
    assert mesh.vertices[..., 2].min() == 0
    assert mesh.vertices[..., 2].max() == 2


def test_moving_turns_then_shifts():
    mesh = quads(np.array([[[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]], float))
    moved = mesh.moved((10, 0, 0), np.pi / 2, scale=2)
    np.testing.assert_allclose(moved.vertices[0, 1], [10, 2, 0], atol=1e-12)


def test_copies_repeat_a_mesh():
    mesh = copies(box((1, 1, 1)), np.array([[0, 0, 0], [5, 0, 0]]))
    assert len(mesh) == 24
    np.testing.assert_allclose(
        mesh.vertices[12:] - mesh.vertices[:12], np.broadcast_to([5, 0, 0], (12, 3, 3))
    )
