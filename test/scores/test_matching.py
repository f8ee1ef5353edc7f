import numpy as np
import pytest

from panoptic_ros.scores.matching import match


def _matches(ids, *rows):
    """Match detections (class id, x0, y0, x1, y1), best first, that fill their boxes."""
    masks = [((x0, y0, x1, y1), np.ones((y1 - y0, x1 - x0), bool)) for _, x0, y0, x1, y1 in rows]
    return match([row[0] for row in rows], masks, ids)


@pytest.fixture
def ids():
    image = np.full((40, 60), 7, np.uint16)
    image[10:30, 0:20] = 26000
    image[10:30, 30:50] = 26001
    image[0:4, :] = 24
    return image


def test_each_instance_goes_to_the_first_detection_that_finds_it(ids):
    matches = _matches(ids, (26, 0, 10, 19, 30), (26, 30, 10, 50, 30), (26, 0, 10, 20, 30))
    assert [(m.detection, m.value) for m in matches] == [(0, 26000), (1, 26001)]
    assert [m.iou for m in matches] == pytest.approx([0.95, 1.0])


def test_another_class_is_no_match(ids):
    assert _matches(ids, (27, 0, 10, 20, 30)) == []


def test_half_an_instance_is_not_enough(ids):
    assert _matches(ids, (26, 0, 10, 10, 30)) == []
    assert len(_matches(ids, (26, 0, 10, 11, 30))) == 1


def test_only_what_the_mask_holds_counts(ids):
    mask = np.zeros((20, 20), bool)
    mask[:, :12] = True
    (found,) = match([26], [((0, 10, 20, 30), mask)], ids)
    assert found.iou == pytest.approx(0.6)


def test_a_group_has_no_instances(ids):
    assert _matches(ids, (24, 0, 0, 60, 4)) == []


def test_nothing_detected(ids):
    assert _matches(ids) == []
