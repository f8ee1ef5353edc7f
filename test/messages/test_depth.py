from types import SimpleNamespace

import numpy as np
import pytest

from panoptic_ros.messages import ImageRefused, decode_depth

MILLIMETRES = [[0, 1500, 65535], [1, 2000, 20000]]


def message(values, encoding="16UC1", padding=0, **fields):
    rows = np.pad(values.view(np.uint8), ((0, 0), (0, padding)), constant_values=0xA5)
    height, width = values.shape
    known = {"is_bigendian": values.dtype.byteorder == ">", "step": rows.shape[1]}
    known |= {"data": rows.tobytes(), "width": width, "height": height, "encoding": encoding}
    return SimpleNamespace(**(known | fields))


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_millimetres(order, padding):
    found = decode_depth(message(np.array(MILLIMETRES, order + "u2"), padding=padding))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array(MILLIMETRES) / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    ("encoding", "step"),
    [
        ("mono16", 6),
        ("mono16", 0),
        *(("16UC1", step) for step in (0, 3, 5, 12, 2**32 - 1)),
    ],
)
def test_what_older_drivers_call_millimetres(encoding, step):
    """mono16 is what cameras said before REP-118; a step is often not filled in, or wrong."""
    found = decode_depth(message(np.array(MILLIMETRES, "<u2"), encoding, step=step))
    np.testing.assert_allclose(found, np.array(MILLIMETRES) / 1000, rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_signalling_nan_is_no_depth():
    values = np.frombuffer(np.array([0x7FA00000, 0x3F800000], "<u4"), "<f4").reshape(1, 2)
    with np.errstate(all="warn"):
        np.testing.assert_array_equal(decode_depth(message(values, "32FC1")), [[0, 1]])


def test_a_limit_of_pixels(monkeypatch):
    values = np.array(MILLIMETRES, "<u2")
    monkeypatch.setattr("panoptic_ros.messages.images.MAX_PIXELS", 6)
    assert decode_depth(message(values)).shape == (2, 3)
    monkeypatch.setattr("panoptic_ros.messages.images.MAX_PIXELS", 5)
    with pytest.raises(ImageRefused, match="depth image of 3x2 pixels is beyond the limit of 5"):
        decode_depth(message(values))


@pytest.mark.parametrize("order", ["<", ">"])
def test_metres_and_where_there_are_none(order):
    values = np.array([[1.5, np.nan, np.inf], [-1, 1e30, 80.25]], order + "f4")
    np.testing.assert_array_equal(
        decode_depth(message(values, "32FC1")), np.float32([[1.5, 0, 0], [0, 0, 80.25]])
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoding": "mono8"}, "32FC1"),
        ({"width": 0}, "zero size"),
        ({"step": 5, "data": bytes(10)}, "step 5"),
        ({"step": 0, "data": bytes(13)}, "13 bytes"),
        ({"width": 60000, "height": 60000}, "beyond the limit of"),
        ({"width": 2**32 - 1, "height": 1}, "beyond the limit of"),
        ({"step": 2**32 - 1, "data": bytes(13)}, "expected 8589934590"),
        ({"data": bytes(11)}, "11 bytes"),
    ],
)
def test_what_cannot_be_depth_is_refused(change, words):
    with pytest.raises(ImageRefused, match=words):
        decode_depth(message(np.array(MILLIMETRES, "<u2"), **change))
