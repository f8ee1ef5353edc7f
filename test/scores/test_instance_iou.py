import numpy as np
import pytest

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.instance_iou import InstanceIoU, mask_iou

CLASSES = [c.id for c in CITYSCAPES.things]


def crop(x0, y0, x1, y1):
    return (x0, y0, x1, y1), np.ones((y1 - y0, x1 - x0), bool)


def test_iou_of_a_crop_with_an_image():
    truth = np.zeros((6, 10), bool)
    truth[:, 4:8] = True
    # 2 of its 4 columns and 2 columns beside: 12 / (24 + 24 - 12).
    assert mask_iou(crop(2, 0, 6, 6), truth) == pytest.approx(1 / 3)
    # Truth outside the crop still counts.
    assert mask_iou(crop(4, 0, 8, 3), truth) == pytest.approx(1 / 2)
    assert mask_iou(crop(5, 2, 5, 2), np.zeros((6, 10), bool)) == 0


def test_every_strategy_is_measured_on_the_same_instances():
    truth = np.full((20, 40), 7, np.uint16)
    truth[0:10, 0:10] = 26000
    truth[0:10, 20:30] = 26001
    truth[10:20, 0:10] = 24  # a group of persons
    truth[10:20, 20:30] = 33000
    class_ids, boxes = zip(
        (26, (0, 0, 10, 8)),
        (26, (0, 0, 10, 10)),  # finds a car that is taken
        (24, (0, 10, 10, 20)),  # on the group
        (33, (20, 10, 34, 20)),
        (26, (20, 0, 30, 4)),  # IoU 0.4: not found
        (32, (20, 10, 30, 20)),  # wrong class
        strict=True,
    )
    table = InstanceIoU(CITYSCAPES, ("detector", "other"))
    detector = [crop(*box) for box in boxes]
    # The other strategy makes the car whole and loses the bicycle: it counts all the same.
    other = [crop(0, 0, 10, 10), *detector[1:3], crop(0, 0, 4, 4), *detector[4:]]
    table.add(truth, class_ids, detector, {"detector": detector, "other": other})
    table.add(truth, [26], [crop(20, 0, 30, 10)], dict.fromkeys(table.sums, detector[:1]))

    car, bicycle = CLASSES.index(26), CLASSES.index(33)
    assert table.instances.tolist() == [{car: 2, bicycle: 1}.get(i, 0) for i in range(8)]
    # Second frame: the crop (0, 0, 10, 8) has nothing of the car at 20..30.
    assert table.sums["detector"][[car, bicycle]] == pytest.approx([0.8 + 0, 10 / 14])
    assert table.sums["other"][[car, bicycle]] == pytest.approx([1 + 0, 0])
