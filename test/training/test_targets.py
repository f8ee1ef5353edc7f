import numpy as np
import pytest
import torch

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.training.targets import instance_target, semantic_target


def test_semantic_target_gives_channels():
    ids = np.array([[7, 8, 26, 26003, 33999, 0, 4, 29]], np.uint16)
    # 26 alone is a group of cars; 0, 4 and 29 (caravan) are no class of the set.
    assert semantic_target(ids, CITYSCAPES).tolist() == [[0, 1, 13, 13, 18, 255, 255, 255]]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_instance_target_gives_boxes_that_end_after_the_last_pixel(dtype):
    ids = np.full((6, 8), 7, dtype)
    ids[1:3, 2:5] = 26001
    ids[4:6, 0:2] = 24000
    target = instance_target(ids, CITYSCAPES, min_area=1)
    # In the order of the ids; labels count the thing classes from 1: person, rider, car.
    assert target["labels"].tolist() == [1, 3]
    assert target["boxes"].tolist() == [[0, 4, 2, 6], [2, 1, 5, 3]]
    assert target["masks"].dtype == torch.uint8
    assert np.array_equal(target["masks"][1].numpy(), ids == 26001)


def test_instance_target_leaves_out_small_ones_groups_and_foreign_classes():
    ids = np.full((4, 4), 26, np.uint16)
    ids[0, 0] = 24000
    ids[1, :] = 24001
    ids[3, :] = 29000
    target = instance_target(ids, CITYSCAPES, min_area=2)
    assert target["labels"].tolist() == [1]
    assert target["boxes"].tolist() == [[0, 1, 4, 2]]


def test_instance_target_of_an_empty_street_has_the_shapes_of_none():
    target = instance_target(np.full((4, 5), 7, np.uint16), CITYSCAPES, min_area=1)
    assert target["boxes"].shape == (0, 4)
    assert target["masks"].shape == (0, 4, 5)
