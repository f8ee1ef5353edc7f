import numpy as np
import pytest
import torch
from shared_network import ONE_STAGE, architecture

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.predictors import Limits
from panoptic_ros.model.shared_predictor import SharedPredictor
from panoptic_ros.networks import build
from panoptic_ros.networks.panoptic.shared import SharedPanopticNetwork


def network(num_classes=19, num_things=8):
    torch.manual_seed(0)
    instances = {**ONE_STAGE, "detections": 6, "score_threshold": 0.0}
    return build(architecture(instances, classes=num_classes, things=num_things))


class Answering(SharedPanopticNetwork):
    """Answer one box, in pixels of what it is shown."""

    def __init__(self, box):
        torch.nn.Module.__init__(self)
        self.num_classes, self.num_things = 19, 8
        self.anything = torch.nn.Parameter(torch.zeros(1))
        self.last = torch.nn.Identity()
        self.box = box
        self.seen = None

    @property
    def answer_layers(self):
        return (self.last,)

    def features(self, images):
        self.seen = tuple(images.shape)
        return {}

    def instances(self, images, features, targets):
        found = {
            "boxes": torch.tensor([self.box]),
            "labels": torch.tensor([3]),
            "scores": self.last(torch.tensor([0.9])),
            "masks": torch.ones(1, 28, 28),
        }
        return [found], {}

    def logits(self, features, found, targets=None):
        return torch.zeros(1, 19, 8, 8)


@pytest.mark.parametrize(
    ("size", "limits", "seen"),
    [
        ((64, 96), (0, 0), (64, 96)),
        ((70, 100), (0, 0), (64, 96)),
        ((720, 1280), (512, 1024), (512, 896)),
        ((40, 47), (0, 0), (32, 32)),
    ],
)
def test_the_network_sees_whole_strides_and_boxes_are_in_the_image(size, limits, seen):
    answering = Answering([0.0, 0.0, seen[1] / 2, seen[0] + 50.0])
    predict = SharedPredictor(answering, CITYSCAPES, Limits(*limits))
    semantic, instances = predict(np.zeros((*size, 3), np.uint8))
    assert answering.seen == (1, 3, *seen)
    assert semantic.image_size == size
    assert instances.boxes.tolist() == [[0, 0, pytest.approx(size[1] / 2), size[0]]]
    assert instances.class_ids.tolist() == [26]


def test_a_real_network_answers_twice_the_same():
    predict = SharedPredictor(network(), CITYSCAPES)
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    (first, found), (second, again) = predict(image), predict(image)
    assert torch.equal(first.logits, second.logits)
    assert torch.equal(found.boxes, again.boxes)
    assert first.logits.shape == (19, 16, 24)


def test_a_network_for_other_classes_is_refused():
    with pytest.raises(ValueError, match="5 classes, 2 of them things; label set 'cityscapes'"):
        SharedPredictor(network(5, 2), CITYSCAPES)


@pytest.mark.parametrize("part", ["classes", "boxes", "coefficients"])
def test_what_the_detection_drops_is_seen_to_be_not_finite(part):
    damaged = network()
    with torch.no_grad():
        getattr(damaged.instances.head, part).bias[0] = float("nan")
    image = np.zeros((64, 96, 3), np.uint8)
    assert SharedPredictor(network(), CITYSCAPES)(image)[1].all_finite()
    assert not SharedPredictor(damaged, CITYSCAPES)(image)[1].all_finite()
