import numpy as np
import pytest

from panoptic_ros.grid.foliage import Foliage
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


def test_leaves_other_classes_alone():
    building = np.full(3, 11)
    assert not Foliage(CITYSCAPES, STEP).overhang(np.array([10.0, 15, 15]), building).any()
