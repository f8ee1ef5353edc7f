import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from panoptic_ros.image_region import ImageRegion, read_ego_mask
from panoptic_ros.label_map import LabelMap
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import PanopticPrediction, Segment

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
EGO = np.zeros((4, 6), bool)
EGO[3] = True


def test_everything_is_the_default():
    region = ImageRegion()
    np.testing.assert_array_equal(region.crop(IMAGE), IMAGE)
    assert not region.hidden((4, 6)).any()


def test_a_region_is_cut_out_and_put_back():
    region = ImageRegion(x_offset=1, y_offset=2, width=3)
    np.testing.assert_array_equal(region.crop(IMAGE), IMAGE[2:4, 1:4])
    placed = region.placed(np.full((2, 3), 9, np.uint16), (4, 6))
    assert placed.dtype == np.uint16
    assert placed.tolist() == [[0] * 6, [0] * 6, [0, 9, 9, 9, 0, 0], [0, 9, 9, 9, 0, 0]]
    np.testing.assert_array_equal(region.hidden((4, 6)), placed == 0)


def test_the_networks_see_grey_for_the_own_vehicle():
    seen = ImageRegion(y_offset=2, ego_mask=EGO).crop(IMAGE)
    np.testing.assert_array_equal(seen[0], IMAGE[2])
    assert seen.dtype == np.uint8
    assert set(map(tuple, seen[1].tolist())) == {(124, 116, 104)}
    np.testing.assert_array_equal(IMAGE.ravel(), np.arange(4 * 6 * 3))


def test_segments_of_a_region_in_the_whole_picture():
    labels = np.array([[7, 26000, 26001], [7, 26000, 7]], np.uint16)
    segments = [
        Segment(26000, 26, True, 0.9, 2, (1, 0, 2, 2)),
        Segment(26001, 26, True, 0.8, 1, (2, 0, 3, 1)),
        Segment(7, 7, False, 1.0, 3, (0, 0, 3, 2)),
    ]
    panoptic = PanopticPrediction(labels, segments)
    whole = ImageRegion(x_offset=2, y_offset=2).prediction(panoptic, (4, 5))
    assert whole.labels[2:, 2:].tolist() == labels.tolist()
    assert [(s.area, s.box) for s in whole.segments] == [
        (2, (3, 2, 4, 4)),
        (1, (4, 2, 5, 3)),
        (3, (2, 2, 5, 4)),
    ]
    mask = np.zeros((4, 5), bool)
    mask[2] = True
    without = ImageRegion(x_offset=2, y_offset=2, ego_mask=mask).prediction(panoptic, (4, 5))
    assert [(s.id, s.area, s.box) for s in without.segments] == [
        (26000, 1, (3, 3, 4, 4)),
        (7, 2, (2, 3, 5, 4)),
    ]


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (ImageRegion(x_offset=6), "x 6..6 and y 0..4, does not lie in a picture of 6x4"),
        (ImageRegion(y_offset=2, height=3), "y 2..5"),
        (ImageRegion(ego_mask=EGO[1:]), "ego mask has 6x3 pixels, the picture 6x4"),
    ],
)
def test_a_picture_that_does_not_hold_the_region(region, words):
    with pytest.raises(ValueError, match=words):
        region.crop(IMAGE)


def png_claiming(side):
    """Return a small PNG whose header says that it is a large square."""
    data = cv2.imencode(".png", EGO.astype(np.uint8))[1].tobytes()
    head = b"IHDR" + struct.pack(">II", side, side) + data[24:29]
    return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]


@pytest.mark.parametrize(
    "pixels",
    [
        EGO.astype(np.uint16),
        EGO.astype(np.uint8),
        np.dstack([np.zeros_like(EGO, np.uint8)] * 2 + [EGO.astype(np.uint8)]),
        np.dstack([EGO.astype(np.uint8)] * 3 + [np.full(EGO.shape, 255, np.uint8)]),
    ],
    ids=["16 bits", "8 bits", "a colour", "alpha"],
)
def test_whatever_is_not_black_is_ego(tmp_path, pixels):
    file = tmp_path / "ego.png"
    cv2.imwrite(str(file), pixels)
    np.testing.assert_array_equal(read_ego_mask(str(file)), EGO)


def test_an_orientation_turns_no_ego_mask(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(EGO.astype(np.uint8)).save(tmp_path / "ego.png", exif=exif)
    assert read_ego_mask(str(tmp_path / "ego.png")).shape == EGO.shape


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "cannot be read as a picture"),
        (cv2.imencode(".jpg", np.zeros((64, 64), np.uint8))[1].tobytes()[:-40], "truncated"),
        (png_claiming(60000), "exceeds limit|beyond the limit"),
        (png_claiming(8192), "beyond the limit"),
    ],
)
def test_an_ego_mask_that_is_none_is_named(tmp_path, content, words):
    file = tmp_path / "ego.png"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{file} .*({words})"):
        read_ego_mask(str(file))


def test_the_home_of_nobody_is_named():
    with pytest.raises(ValueError, match="a user that is not there"):
        read_ego_mask("~nobody_of_that_name/ego.png")
    with pytest.raises(ValueError, match="a user that is not there"):
        LabelMap.read("~nobody_of_that_name/map.yaml", CITYSCAPES)


def test_reading_an_ego_mask(tmp_path):
    file = tmp_path / "ego.png"
    cv2.imwrite(str(file), np.dstack([EGO.astype(np.uint8) * 40] * 3))
    np.testing.assert_array_equal(read_ego_mask(str(file)), EGO)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"ego.png cannot be read as a picture"):
        read_ego_mask(str(file))
    with pytest.raises(FileNotFoundError, match="no ego mask"):
        read_ego_mask(str(tmp_path / "none.png"))
