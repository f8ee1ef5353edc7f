import cv2
import numpy as np
import pytest
import torch

from panoptic_ros.datasets.cityscapes import Sample
from panoptic_ros.evaluation.heads import compare_heads, head_table
from panoptic_ros.fusion import FusionOptions
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.networks import PanopticHead
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction

ROAD, CAR, TRUCK = 7, 26, 27
SIZE = (32, 48)
CHANNEL = {c.id: i for i, c in enumerate(CITYSCAPES.classes)}


class Known:
    """A network's place taken by its answer."""

    labels = CITYSCAPES

    def __init__(self, answer):
        self.answer = answer

    def upload(self, image):
        return torch.from_numpy(image)

    def __call__(self, frame):
        return self.answer


def sample(folder, name, labels, size=SIZE):
    """Write a black frame with labels."""
    paths = [folder / f"{name}_{kind}.png" for kind in ("image", "labelIds", "instanceIds")]
    cv2.imwrite(str(paths[0]), np.zeros((*size, 3), np.uint8))
    cv2.imwrite(str(paths[2]), labels)
    return Sample(name, *paths)


def truth():
    """Draw road and two cars: 16 x 12 and 16 x 10 pixels."""
    labels = np.full(SIZE, ROAD, np.uint16)
    labels[8:24, 8:20] = 26000
    labels[8:24, 30:40] = 26001
    return labels


@pytest.fixture
def pipeline():
    """Return networks that find the first car, 4 columns too wide, and call the second a truck.

    Their head answers for a car what the semantic masks say.
    """
    classes = truth()
    classes[classes == 26000] = CAR
    classes[classes == 26001] = TRUCK
    logits = torch.zeros(19, *SIZE)
    for class_id in (ROAD, CAR, TRUCK):
        logits[CHANNEL[class_id]][torch.from_numpy(classes == class_id)] = 9
    car = InstancePrediction(
        torch.tensor([[8.0, 8.0, 24.0, 24.0]]),
        torch.tensor([CAR]),
        torch.tensor([0.9]),
        torch.ones(1, 28, 28),
    )
    head = PanopticHead([c.id for c in CITYSCAPES.things])
    weight = head.cnn(CAR).mix.weight.data
    weight[0, 1 + CHANNEL[CAR]] = weight[0, 0]
    weight[0, 0] = 0
    return PanopticPipeline(
        Known(SemanticPrediction(logits, SIZE, CITYSCAPES)),
        Known(car),
        head,
        options=FusionOptions(stuff_area_limit=0),
        name="known",
    )


def test_a_frame_worked_out_on_paper(pipeline, tmp_path):
    results = compare_heads(pipeline, [sample(tmp_path, "a", truth())]).results()
    # The detector's mask has 256 pixels, the car 192 of them.
    assert results["classes"]["car"] == pytest.approx(
        {"heuristic": 75, "head": 100, "instances": 1}
    )
    assert results["classes"]["person"] == {"heuristic": None, "head": None, "instances": 0}
    assert results["mean"] == pytest.approx({"heuristic": 75, "head": 100, "instances": 1})
    # One car found, one missed. The road has 1184 pixels, of which the wide mask takes 64.
    assert results["pq"] == pytest.approx(
        {"heuristic": 50 * (0.75 / 1.5 + 1120 / 1184), "head": 50 * (1 / 1.5 + 1)}
    )
    # Road, car, truck.
    assert results["miou"] == pytest.approx(100 * (1 + 192 / 352 + 0) / 3)


def test_frames_add_up_and_broken_ones_are_named(pipeline, tmp_path):
    good = sample(tmp_path, "good", truth())
    broken, small = sample(tmp_path, "broken", truth()), sample(tmp_path, "small", truth(), (4, 4))
    broken.image.write_bytes(b"no picture")
    comparison = compare_heads(pipeline, [good, broken, small, good])
    assert comparison.results()["mean"]["instances"] == 2
    first, second = comparison.broken
    assert str(broken.image) in first
    assert second == f"{small.image} has the shape [4, 4, 3], {small.instance_ids} [32, 48]"


def test_of_no_instances(pipeline):
    results = compare_heads(pipeline, []).results()
    assert results["mean"] == {"heuristic": None, "head": None, "instances": 0}
    assert results["miou"] is None


def test_a_model_without_a_head_has_nothing_to_compare(pipeline):
    pipeline.head = None
    with pytest.raises(ValueError, match="model 'known' has no panoptic head"):
        compare_heads(pipeline, [])


def test_table(pipeline, tmp_path):
    lines = head_table(
        compare_heads(pipeline, [sample(tmp_path, "a", truth())]).results()
    ).splitlines()
    assert lines[0].split() == ["IoU", "of", "instances,", "%", "heuristic", "head", "instances"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:] if line}
    assert rows["car"] == ["75.0", "100.0", "1"]
    assert rows["person"] == ["-", "-", "0"]
    assert rows["mean"] == ["75.0", "100.0", "1"]
    assert rows["PQ,"] == ["%", "72.3", "83.3"]
    assert rows["semantic"] == ["mIoU,", "%:", "51.5"]
