import numpy as np
import pytest
import torch
from scenes import instances_of

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.rider_rule import find_riders
from panoptic_ros.prediction import InstancePrediction

PERSON, RIDER, CAR, MOTORCYCLE, BICYCLE = 24, 25, 26, 32, 33
FULL = torch.ones(28, 28)
BIKE = (20.0, 50.0, 60.0, 80.0)


def predict(*instances):
    """Return a prediction of (class id, box) or (class id, box, mask)."""
    masks = [rest[0] if rest else FULL for _, _, *rest in instances]
    return InstancePrediction(
        torch.tensor([list(box) for _, box, *_ in instances]),
        torch.tensor([class_id for class_id, *_ in instances]),
        torch.linspace(0.9, 0.5, len(instances)),
        torch.stack(masks),
    )


def classes(*instances):
    return find_riders(predict(*instances), CITYSCAPES).class_ids.tolist()


@pytest.mark.parametrize("two_wheeler", [BICYCLE, MOTORCYCLE])
def test_a_person_over_a_two_wheeler_becomes_a_rider(two_wheeler):
    assert classes((PERSON, (30, 20, 50, 70)), (two_wheeler, BIKE)) == [RIDER, two_wheeler]
    assert classes((two_wheeler, BIKE), (PERSON, (30, 20, 50, 70))) == [two_wheeler, RIDER]


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ((80.0, 20.0, 100.0, 70.0), "far from it"),
        ((60.0, 20.0, 80.0, 70.0), "touching it"),
        ((30.0, 20.0, 50.0, 52.0), "hardly overlapping"),
        ((30.0, 20.0, 50.0, 80.0), "standing beside it, feet at the wheels"),
        ((30.0, 20.0, 50.0, 100.0), "in front of it"),
        ((30.0, 52.0, 50.0, 70.0), "smaller than it, a child behind"),
        ((52.0, 20.0, 76.0, 70.0), "beside it, reaching over"),
    ],
)
def test_a_person_who_is_not_on_it_stays_a_person(box, why):
    assert classes((PERSON, box), (BICYCLE, BIKE)) == [PERSON, BICYCLE], why


def test_boxes_may_overlap_while_masks_do_not():
    left, right = torch.zeros(28, 28), torch.zeros(28, 28)
    left[:, :12], right[:, 16:] = 1, 1
    box = (30.0, 20.0, 50.0, 70.0)
    ridden = (BICYCLE, (30.0, 50.0, 50.0, 80.0), right)
    assert classes((PERSON, box, left), ridden) == [PERSON, BICYCLE]
    assert classes((PERSON, box, right), ridden) == [RIDER, BICYCLE]


def test_two_on_one_motorcycle_and_nobody_on_a_car():
    assert classes(
        (PERSON, (22, 20, 42, 72)),
        (MOTORCYCLE, (20, 50, 70, 85)),
        (PERSON, (45, 20, 65, 72)),
        (PERSON, (130, 20, 150, 70)),
        (CAR, (100, 50, 180, 90)),
    ) == [RIDER, MOTORCYCLE, RIDER, PERSON, CAR]


def test_everything_but_the_class_stays():
    before = predict((PERSON, (30, 20, 50, 70)), (BICYCLE, BIKE))
    after = find_riders(before, CITYSCAPES)
    assert before.class_ids.tolist() == [PERSON, BICYCLE]
    assert after.boxes is before.boxes
    assert after.scores is before.scores
    assert after.masks is before.masks


def test_nothing_to_decide_is_no_error():
    assert len(find_riders(instances_of(), CITYSCAPES)) == 0
    empty = predict((PERSON, (30, 20, 30, 70)), (BICYCLE, BIKE, FULL * 0))
    assert find_riders(empty, CITYSCAPES).class_ids.tolist() == [PERSON, BICYCLE]


def test_the_rule_does_not_depend_on_size():
    for scale in (0.2, 1, 17.5):
        boxes = np.array([(30, 20, 50, 70), BIKE]) * scale
        found = classes((PERSON, boxes[0].tolist()), (BICYCLE, boxes[1].tolist()))
        assert found == [RIDER, BICYCLE]
