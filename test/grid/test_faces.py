import numpy as np

from panoptic_ros.grid.faces import trace_faces


def test_fills_the_face_between_contacts_of_one_thing():
    xy = np.array([[10.0, 0], [10.0, 0.5], [10.0, 1.0], [20.0, 1.5]])
    points, line = trace_faces(xy, np.array([10.0, 10, 10, 20]), np.array([7, 7, 8, 8]), 0.2)
    # From 0 to 0.5 in three steps; then another thing; then one of the same far behind.
    np.testing.assert_allclose(points[:, 1], [0, 0.5 / 3, 1 / 3, 0.5, 1.0, 1.5])
    assert line.tolist() == [0, 0, 0, 1, 2, 3]


def test_leaves_lines_without_contact_out():
    distance = np.array([np.inf, 5.0, np.inf])
    points, line = trace_faces(np.ones((3, 2)), distance, np.array([0, 26, 0]), 0.2)
    assert (points.tolist(), line.tolist()) == ([[1.0, 1.0]], [1])
    nothing, line = trace_faces(np.ones((2, 2)), np.full(2, np.inf), np.zeros(2, int), 0.2)
    assert (nothing.shape, len(line)) == ((0, 2), 0)
