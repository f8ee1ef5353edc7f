from types import SimpleNamespace

import numpy as np
import pytest

from panoptic_ros.messages import ImageRefused, decode_points
from panoptic_ros.messages.clouds import CloudMessages
from panoptic_ros.messages.panoptic import SHIFTED
from panoptic_ros.prediction import PanopticPrediction

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


@pytest.mark.parametrize("row_step", [0, 4, 52, 2**32 - 1])
def test_row_step_is_not_needed_where_data_holds_exactly_the_points(row_step):
    """0: nobody filled it in; 52: the size of the whole cloud."""
    found = decode_points(cloud(row_step=row_step))
    np.testing.assert_array_equal(found, np.float32([[1, 2, 3], [-7, 8, 0.5]]))


def field(name="x", offset=0, datatype=FLOAT32):
    return SimpleNamespace(name=name, offset=offset, datatype=datatype)


def fields(**of_y):
    return [field(), field("y", **({"offset": 4} | of_y)), field("z", 9)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fields": [field()]}, "no floating-point"),
        ({"fields": fields(datatype=UINT8)}, "no floating-point field 'y'"),
        ({"fields": [*fields(), field("y", 4)]}, "two fields 'y'"),
        ({"fields": fields(offset=10)}, "do not fit: 'y' has 4 bytes at offset 10, a point 13"),
        ({"fields": fields(offset=6, datatype=FLOAT64)}, "'y' has 8 bytes at offset 6"),
        ({"fields": fields(offset=2**31 - 1)}, "at offset 2147483647"),
        ({"fields": fields(offset=2**32 - 4)}, "at offset 4294967292"),
        ({"fields": fields(offset=-4)}, "at offset -4"),
        ({"fields": fields(offset=0)}, "fields overlap"),
        ({"fields": fields(offset=6)}, r"overlap: x, y, z are .* \[\(0, 4\), \(6, 4\), \(9, 4\)\]"),
        ({"point_step": 4}, "do not fit"),
        ({"point_step": 0}, "do not fit"),
        ({"point_step": 2**32 - 1}, "has row_step 26 and 52 bytes"),
        ({"row_step": 4, "data": bytes(8)}, "row_step 4 and 8 bytes"),
        ({"row_step": 2**32 - 1, "data": bytes(51)}, "row_step 4294967295 and 51 bytes"),
        ({"data": bytes(3)}, "3 bytes"),
        ({"height": 2**32 - 1, "width": 2**32 - 1}, "4294967295 rows of 4294967295 points"),
        ({"height": 0}, "0 rows of 2 points"),
        ({"height": -2, "width": -2}, "-2 rows of -2 points"),
    ],
)
def test_what_cannot_be_points_is_refused(change, words):
    with pytest.raises(ImageRefused, match=words):
        decode_points(cloud(**change))


def test_reasons_stay_short_whatever_the_names_of_fields():
    with pytest.raises(ImageRefused) as refusal:
        decode_points(cloud(fields=[field("\n\ud800" * 10**6)]))
    reason = str(refusal.value)
    assert reason.startswith("point cloud has no floating-point field 'x'")
    assert len(reason) <= 400
    assert "\n" not in reason
    reason.encode()


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_float32_are_no_points():
    points = np.array([[1, 2, 3], [1e300, 0, 0], [0, -1e300, 0]], "<f8")
    described = [field(name, 8 * i, FLOAT64) for i, name in enumerate("xyz")]
    message = cloud(
        fields=described, height=1, width=3, point_step=24, row_step=72, data=points.tobytes()
    )
    with np.errstate(all="warn"):
        np.testing.assert_array_equal(decode_points(message), [[1, 2, 3]])


IMAGE = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
PANOPTIC = PanopticPrediction(np.array([[7, 26001, 0], [7, 26002, 24000]], np.uint16))
PLACES, PIXELS = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]), np.array([1, 3, 4])


def labelled(*, is_organized, **options):
    """Return three points as a message, and each of its fields by name."""
    make = CloudMessages(lambda _: SimpleNamespace, np.asarray)
    message = make.labelled(
        PLACES, PIXELS, IMAGE, PANOPTIC, {26001: 12}, "header", is_organized=is_organized, **options
    )
    kinds = {7: "f4", 6: "u4"}
    layout = np.dtype(
        {
            "names": [f.name for f in message.fields],
            "formats": [kinds[f.datatype] for f in message.fields],
            "offsets": [f.offset for f in message.fields],
            "itemsize": message.point_step,
        }
    )
    return message, message.data.view(layout)


def test_labelled_points():
    message, points = labelled(is_organized=False)
    assert points.dtype.names == ("x", "y", "z", "rgb", "class", "instance", "track")
    assert (message.height, message.width, message.row_step) == (1, 3, 3 * message.point_step)
    assert (message.is_dense, message.header) == (True, "header")
    np.testing.assert_array_equal(decode_points(message), PLACES)
    assert points["class"].tolist() == [26, 7, 26]
    assert points["instance"].tolist() == [26001, 7, 26002]
    assert points["track"].tolist() == [12, 0, 0]
    # As PCL packs it: red is the third byte.
    assert points["rgb"].view(np.uint32).tolist() == [0x030405, 0x090A0B, 0x0C0D0E]


def test_a_cloud_of_a_depth_image_has_a_point_for_each_pixel():
    message, points = labelled(is_organized=True)
    assert (message.height, message.width) == (2, 3)
    assert not message.is_dense
    assert points["class"].tolist() == [7, 26, 0, 7, 26, 24]
    assert points["z"][PIXELS].tolist() == [3, 6, 9]
    assert np.isnan(points["z"][[0, 2, 5]]).all()
    np.testing.assert_array_equal(decode_points(message), PLACES)


def test_instances_are_encoded_as_the_label_image_is():
    _, points = labelled(is_organized=False, labels_encoding=SHIFTED)
    assert points["instance"].tolist() == [26 << 16 | 2, 7 << 16, 26 << 16 | 3]


def test_no_labelled_points():
    make = CloudMessages(lambda _: SimpleNamespace, np.asarray)
    nothing = np.zeros((0, 3)), np.zeros(0, int)
    message = make.labelled(*nothing, IMAGE, PANOPTIC, {}, "header", is_organized=False)
    assert (message.width, message.row_step, len(message.data)) == (0, 0, 0)
