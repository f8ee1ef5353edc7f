import numpy as np
import pytest
import torch

from panoptic_ros.evaluation.frame_scores import FrameScorer
from panoptic_ros.evaluation.heads import STRATEGIES, compare_heads, head_table
from panoptic_ros.evaluation.results import build_results
from panoptic_ros.evaluation.timing import timed
from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.conv_head import ConvHead
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.predictors import SeparatePredictors
from panoptic_ros.networks import PanopticHead
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction

ROAD, CAR, TRUCK = 7, 26, 27
SIZE = (32, 48)
CHANNEL = {c.id: i for i, c in enumerate(CITYSCAPES.classes)}


class Known:
    """A network's place taken by its answer."""

    labels = CITYSCAPES
    device = torch.device("cpu")

    def __init__(self, answer):
        self.answer = answer

    def upload(self, image):
        return torch.as_tensor(image)

    def __call__(self, frame):
        return self.answer


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
        SeparatePredictors(Known(SemanticPrediction(logits, SIZE, CITYSCAPES)), Known(car)),
        head,
        options=FusionOptions(stuff_area_limit=0),
        name="known",
    )


def compared(pipeline, truths):
    """Score black frames as an evaluation does, and compare the strategies."""
    scorer, scores = FrameScorer(CITYSCAPES, pipeline.options), []
    for labels in truths:
        inference, merged, times = timed(
            pipeline, np.zeros((*SIZE, 3), np.uint8), STRATEGIES.values()
        )
        peak = {"host": None, "device": None}
        scores.append(scorer("f", labels, inference, merged, {"read": 1.0, **times}, peak))
    results = build_results(
        scores, CITYSCAPES, list(STRATEGIES.values()), dataset={}, model={}, warmup_frames=0
    )
    return compare_heads(results)


def test_a_frame_worked_out_on_paper(pipeline):
    results = compared(pipeline, [truth()])
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


def test_frames_add_up(pipeline):
    empty = np.full(SIZE, ROAD, np.uint16)
    assert compared(pipeline, [truth(), empty, truth()])["mean"]["instances"] == 2


def test_the_heads_masks_are_computed_once(pipeline, monkeypatch):
    calls = []
    once = ConvHead._refined
    monkeypatch.setattr(ConvHead, "_refined", lambda *a: calls.append(1) or once(*a))
    compared(pipeline, [truth()])
    assert calls == [1]


def test_of_no_instances(pipeline):
    results = compared(pipeline, [])
    assert results["mean"] == {"heuristic": None, "head": None, "instances": 0}
    assert results["miou"] is None


def test_table(pipeline):
    lines = head_table(compared(pipeline, [truth()])).splitlines()
    assert lines[0].split() == ["IoU", "of", "instances,", "%", "heuristic", "head", "instances"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:] if line}
    assert rows["car"] == ["75.0", "100.0", "1"]
    assert rows["person"] == ["-", "-", "0"]
    assert rows["mean"] == ["75.0", "100.0", "1"]
    assert rows["PQ,"] == ["%", "72.3", "83.3"]
    assert rows["semantic"] == ["mIoU,", "%:", "51.5"]
