import numpy as np
import pytest

from panoptic_ros.labels import CITYSCAPES, LabelClass, LabelSet
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.visualization import colorize, instance_color, overlay

ROAD, SKY, CAR = CITYSCAPES[7], CITYSCAPES[23], CITYSCAPES[26]
GREY_LEVEL = 90


def one_car(height=120, width=200, dtype=np.uint16):
    """Unlabeled columns at the left, road elsewhere, one car on it."""
    label_image = np.full((height, width), ROAD.id, dtype)
    label_image[:, :10] = 0
    label_image[50:100, 60:140] = 26003
    road_area = int((label_image == ROAD.id).sum())
    segments = [
        Segment(ROAD.id, ROAD.id, False, 1.0, road_area, (10, 0, width, height)),
        Segment(26003, CAR.id, True, 0.87, 50 * 80, (60, 50, 140, 100)),
    ]
    return PanopticPrediction(label_image, segments)


def grey_image(height=120, width=200):
    return np.full((height, width, 3), GREY_LEVEL, np.uint8)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_colorize_gives_each_id_its_colour(dtype):
    label_image = np.array([[0, 7, 23], [26000, 26, 26001]], dtype)
    image = colorize(PanopticPrediction(label_image), CITYSCAPES)
    expected = [
        [(0, 0, 0), ROAD.color, SKY.color],
        [CAR.color, CAR.color, instance_color(CAR, 1)],
    ]
    np.testing.assert_array_equal(image, np.uint8(expected))


def test_ids_that_the_label_set_does_not_know_are_black():
    image = colorize(PanopticPrediction(np.uint16([[1, 65535, 34000]])), CITYSCAPES)
    assert not image.any()


def test_colorize_ids_beyond_16_bits():
    labels = LabelSet("large", (LabelClass(133, "thing", True, (10, 200, 30)),))
    image = colorize(PanopticPrediction(np.int32([[133000, 133999]])), labels)
    colors = [instance_color(labels[133], n) for n in (0, 999)]
    np.testing.assert_array_equal(image, np.uint8([colors]))


@pytest.mark.parametrize("cls", CITYSCAPES.things, ids=lambda c: c.name)
def test_neighbouring_instances_can_be_told_apart(cls):
    colors = np.array([instance_color(cls, n) for n in range(12)])
    assert tuple(colors[0]) == cls.color
    largest_steps = np.abs(np.diff(colors, axis=0)).max(axis=1)
    assert largest_steps.min() >= 20
    assert len({tuple(c) for c in colors}) == len(colors)


def test_overlay_blends_labelled_pixels_and_leaves_the_others():
    panoptic = one_car()
    image = grey_image()
    result = overlay(image, panoptic, CITYSCAPES)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[:, :9], image[:, :9])
    blended = np.round(0.5 * GREY_LEVEL + 0.5 * np.array(ROAD.color))
    np.testing.assert_allclose(result[110, 150], blended, atol=1)
    car = np.round(0.5 * GREY_LEVEL + 0.5 * np.array(instance_color(CAR, 3)))
    np.testing.assert_allclose(result[90, 100], car, atol=1)
    np.testing.assert_array_equal(image, grey_image())


def test_overlay_draws_outlines_between_segments():
    result = overlay(grey_image(), one_car(), CITYSCAPES)
    white = (result == 255).all(axis=2)
    assert white[50:100, 59].all()
    assert white[50:100, 139].all()
    assert white[99, 60:140].all()
    assert white[:, 9].all()
    assert not white[51:99, 60:139].any()


def test_overlay_writes_names_above_their_boxes():
    panoptic = one_car()
    unnamed = PanopticPrediction(panoptic.labels, panoptic.segments[:1])
    with_name, without = (overlay(grey_image(), p, CITYSCAPES) for p in (panoptic, unnamed))
    rows, columns = np.nonzero((with_name != without).any(axis=2))
    assert rows.min() >= 25
    assert rows.max() <= 50
    assert columns.min() == 60
    plate = with_name[rows.min() : 49, 60 : columns.max()]
    ink_and_plate = np.unique(plate.reshape(-1, 3), axis=0, return_counts=True)[1]
    assert ink_and_plate.max() > plate.shape[0] * plate.shape[1] / 3


def name_plate(box):
    """Return the rows and columns that naming a car in this box changes."""
    x0, y0, x1, y1 = box
    label_image = np.full((120, 200), 7, np.uint16)
    label_image[y0:y1, x0:x1] = 26000
    segment = Segment(26000, 26, True, 0.5, (x1 - x0) * (y1 - y0), box)
    named = overlay(grey_image(), PanopticPrediction(label_image, [segment]), CITYSCAPES)
    unnamed = overlay(grey_image(), PanopticPrediction(label_image), CITYSCAPES)
    return np.nonzero((named != unnamed).any(axis=2))


@pytest.mark.parametrize("box", [(180, 50, 200, 100), (0, 0, 40, 60)])
def test_names_at_the_edge_stay_inside_the_image(box):
    whole, at_edge = name_plate((60, 50, 140, 100)), name_plate(box)
    assert [np.ptp(a) for a in at_edge] == pytest.approx([np.ptp(a) for a in whole], abs=1)


def test_boxes_lower_than_a_line_of_text_are_not_named():
    rows, _ = name_plate((60, 50, 140, 55))
    assert len(rows) == 0


def test_overlay_needs_an_image_of_the_same_size():
    with pytest.raises(ValueError, match=r"shape \(120, 100, 3\).*\(120, 200\)"):
        overlay(grey_image(width=100), one_car(), CITYSCAPES)
