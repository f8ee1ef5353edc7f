import math

import numpy as np
import pytest

from panoptic_ros.geometry.pose2d import Pose2D


def test_a_quarter_turn_puts_what_is_ahead_to_the_left():
    pose = Pose2D(10.0, 5.0, math.pi / 2)
    np.testing.assert_allclose(pose.apply(np.array([[2.0, 0.0], [0.0, 1.0]])), [[10, 7], [9, 5]])


def test_inverse_leads_back():
    pose = Pose2D(3.0, -2.0, 2.5)
    points = np.array([[1.0, 2.0], [-4.0, 0.5]])
    np.testing.assert_allclose(pose.inverse().apply(pose.apply(points)), points, atol=1e-12)


def test_composing_is_applying_one_after_the_other():
    outer, inner = Pose2D(1.0, 2.0, 3.0), Pose2D(-4.0, 0.5, 1.0)
    both = outer.compose(inner)
    point = np.array([0.3, 0.7])
    np.testing.assert_allclose(both.apply(point), outer.apply(inner.apply(point)), atol=1e-12)
    assert both.yaw == pytest.approx(4.0 - 2 * math.pi)


@pytest.mark.parametrize("field", ["x", "y", "yaw"])
def test_what_is_not_finite_is_refused(field):
    with pytest.raises(ValueError, match=f"pose: {field} is nan"):
        Pose2D(**{field: math.nan})
