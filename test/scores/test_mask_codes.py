import numpy as np
import pytest
from pycocotools import mask as coco_mask

from panoptic_ros.scores.mask_codes import area_of_code, as_coco, code_of_crop, codes_of_labels


def decoded(code, size):
    return coco_mask.decode(as_coco(code, size)).astype(bool)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (23, 17)])
def test_codes_of_labels_decode_to_the_masks(shape):
    labels = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint16) * 26000
    codes = codes_of_labels(labels, [0, 26000, 52000, 7])
    assert set(codes) == set(np.unique(labels).tolist())
    for value, code in codes.items():
        assert np.array_equal(decoded(code, shape), labels == value)
        assert area_of_code(code, shape) == np.count_nonzero(labels == value)


def test_an_image_of_one_value_is_one_run():
    assert decoded(codes_of_labels(np.full((3, 4), 7), [7])[7], (3, 4)).all()


def test_an_image_without_pixels_has_no_masks():
    assert codes_of_labels(np.zeros((0, 4), np.uint16), [0]) == {}


@pytest.mark.parametrize("box", [(0, 0, 5, 4), (2, 1, 4, 3), (4, 3, 5, 4), (2, 0, 2, 4)])
def test_a_crop_is_false_outside_its_box(box):
    x0, y0, x1, y1 = box
    crop = np.random.default_rng(1).random((y1 - y0, x1 - x0)) < 0.6
    whole = np.zeros((4, 5), bool)
    whole[y0:y1, x0:x1] = crop
    assert np.array_equal(decoded(code_of_crop(crop, box, (4, 5)), (4, 5)), whole)
