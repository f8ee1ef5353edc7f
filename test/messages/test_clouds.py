from types import SimpleNamespace

import numpy as np
import pytest

from panoptic_ros.messages import ImageRefused, decode_points

FLOAT32, FLOAT64, UINT8 = 7, 8, 2
POINTS = [[1, 2, 3], [4, np.nan, 6], [-7, 8, 0.5], [9, 9, np.inf]]


def cloud(order="<", kind="f4", padding=0, **fields):
    """Return POINTS as 2 x 2 cloud whose points have something between y and z."""
    floating = {"f4": FLOAT32, "f8": FLOAT64}[kind]
    layout = np.dtype([("x", order + kind), ("y", order + kind), ("i", "u1"), ("z", order + kind)])
    points = np.array([(x, y, 0xA5, z) for x, y, z in POINTS], layout)
    rows = np.pad(points.view(np.uint8).reshape(2, -1), ((0, 0), (0, padding)))
    described = [
        SimpleNamespace(name=name, offset=offset, datatype=UINT8 if name == "i" else floating)
        for name, (_, offset) in layout.fields.items()
    ]
    known = {"height": 2, "width": 2, "fields": described, "is_bigendian": order == ">"}
    known |= {"point_step": layout.itemsize, "row_step": rows.shape[1], "data": rows.tobytes()}
    return SimpleNamespace(**(known | fields))


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_finite_points(order, kind, padding):
    found = decode_points(cloud(order, kind, padding))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.float32([[1, 2, 3], [-7, 8, 0.5]]))


def test_no_points():
    empty = cloud(height=0, width=0, row_step=0, data=b"")
    assert decode_points(empty).shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fields": [SimpleNamespace(name="x", offset=0, datatype=FLOAT32)]}, "no floating-point"),
        ({"row_step": 4}, "row_step 4"),
        ({"data": bytes(3)}, "3 bytes"),
        ({"point_step": 4}, "do not fit"),
    ],
)
def test_what_cannot_be_points_is_refused(change, words):
    with pytest.raises(ImageRefused, match=words):
        decode_points(cloud(**change))
