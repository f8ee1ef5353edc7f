import math

import numpy as np
import pytest

from panoptic_ros.geometry.cuboid import Cuboid, cuboid_iou
from panoptic_ros.geometry.poses import Pose2D

BOX = Cuboid((10.0, 5.0, 1.0), (4.0, 2.0, 2.0), 0.0)


def test_the_footprint_of_a_turned_box():
    turned = Cuboid((10.0, 5.0, 1.0), (4.0, 2.0, 2.0), math.pi / 2)
    np.testing.assert_allclose(turned.footprint(), [[9, 7], [9, 3], [11, 3], [11, 7]], atol=1e-9)


@pytest.mark.parametrize(
    ("center", "size", "yaw", "above", "volumes"),
    [
        ((10, 5, 1), (4, 2, 2), 0, 1, 1),
        ((10, 5, 1), (4, 2, 2), math.pi, 1, 1),
        ((12, 5, 1), (4, 2, 2), 0, 1 / 3, 1 / 3),
        # 2 x 2 of 8 + 8 - 4.
        ((10, 5, 1), (4, 2, 2), math.pi / 2, 1 / 3, 1 / 3),
        ((10, 5, 2), (4, 2, 2), 0, 1, 1 / 3),
        ((10, 5, 4), (4, 2, 2), 0, 1, 0),
        ((20, 5, 1), (4, 2, 2), 0.3, 0, 0),
    ],
)
def test_overlap(center, size, yaw, above, volumes):
    assert cuboid_iou(BOX, Cuboid(center, size, yaw)) == pytest.approx((above, volumes), abs=1e-6)


def test_far_from_the_origin_nothing_changes():
    far = Pose2D(1e6, -1e6, 1.0)
    shifted = Cuboid((11.0, 5.0, 1.0), (4.0, 2.0, 2.0), 0.0)
    assert cuboid_iou(BOX.moved(far), shifted.moved(far)) == pytest.approx((0.6, 0.6), abs=1e-5)


def test_a_box_in_another_frame():
    moved = BOX.moved(Pose2D(1.0, 2.0, math.pi / 2))
    assert moved.center == pytest.approx((1 - 5, 2 + 10, 1.0))
    assert (moved.size, moved.yaw) == (BOX.size, pytest.approx(math.pi / 2))
