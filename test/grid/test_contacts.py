import numpy as np
import pytest

from panoptic_ros.grid.contacts import Foliage, trace_faces
from panoptic_ros.labels import CITYSCAPES

VEGETATION, STEP = 21, 0.05
INF = np.inf


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        ([10, 15, 16, 15], [0, 1, 1, 1]),  # a trunk at the left of its crown
        ([15, 16, 10, 16], [1, 1, 0, 1]),
        ([10, 11, 12, 13.5], [0, 0, 0, 0]),  # a hedge that runs away
        ([10, 15, INF, 15], [0, 1, 0, 0]),  # not of the same mask
        ([10, *[15] * 8], [0, *[1] * 6, 0, 0]),  # a crown reaches 3 m: 6 lines at 10 m
    ],
)
def test_leaves_crowns_out(distance, expected):
    distance = np.array(distance, float)
    value = np.where(np.isfinite(distance), VEGETATION, 0)
    assert Foliage(CITYSCAPES, STEP).overhang(distance, value).tolist() == [
        bool(e) for e in expected
    ]


@pytest.mark.parametrize(("edge", "expected"), [(12.4, False), (12.6, True)])
@pytest.mark.parametrize("side", [1, -1])
def test_an_edge_leaps_away_where_it_is_a_quarter_further(edge, expected, side):
    distance = np.array([10.0, edge])[::side]
    found = Foliage(CITYSCAPES, STEP).overhang(distance, np.full(2, VEGETATION))
    assert found.tolist() == [False, expected][::side]


@pytest.mark.parametrize("trunk", [5.0, 10.0, 20.0])
def test_a_crown_reaches_three_metres_from_its_trunk(trunk):
    step = 0.001
    distance = np.full(1000, 1.5 * trunk)
    distance[0] = trunk
    found = Foliage(CITYSCAPES, step).overhang(distance, np.full(1000, VEGETATION))
    assert found.sum() * step * trunk == pytest.approx(3.0, abs=step * trunk)
    assert found[1 : found.sum() + 1].all()


def test_leaves_other_classes_alone():
    building = np.full(3, 11)
    assert not Foliage(CITYSCAPES, STEP).overhang(np.array([10.0, 15, 15]), building).any()


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


@pytest.mark.parametrize(("further", "points"), [(10.9, 5), (11.1, 2)])
def test_neighbours_are_one_face_up_to_a_tenth_further(further, points):
    xy = np.array([[10.0, 0.0], [10.0, 0.8]])
    found, _ = trace_faces(xy, np.array([10.0, further]), np.array([7, 7]), 0.2)
    assert len(found) == points
