from types import SimpleNamespace

import folded_file
import numpy as np
import pytest
import torch
import toy

from panoptic_ros.datasets import open_dataset
from panoptic_ros.prediction import InstancePrediction
from panoptic_ros.training.instance import InstanceConfig, InstanceTask
from panoptic_ros.training.settings import AugmentationConfig

ARCHITECTURE = folded_file.DETECTOR | {"proposals": 20}
PERSON, CAR = 0, 2


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    data = toy.write(tmp_path_factory.mktemp("toy"), frames=2)
    config = InstanceConfig(
        architecture=ARCHITECTURE, augmentation=AugmentationConfig(crop=(128, 256)), regions=16
    )
    frames = [open_dataset("cityscapes", data, split) for split in ("train", "val")]
    return InstanceTask(config, *frames)


def test_a_batch_gives_the_five_losses_and_gradients_everywhere(task):
    torch.manual_seed(0)
    task.trainee.train()
    batch = task.collate([task.samples[0], task.samples[1]])
    assert batch[0].shape == (2, 3, 128, 256)
    losses = task.trainee(batch)
    assert sorted(losses) == [
        "loss_box_reg",
        "loss_classifier",
        "loss_mask",
        "loss_objectness",
        "loss_rpn_box_reg",
    ]
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in task.trainee.parameters())


def test_the_backbone_is_mobilenet_without_the_pyramid(task):
    network = task.trainee.network
    inside = {id(p) for p in task.trainee.backbone.parameters()}
    assert {id(p) for p in network.backbone.body.parameters()} == inside
    assert not inside & {id(p) for p in network.backbone.fpn.parameters()}


def test_validation_counts_found_spurious_and_missed(task, monkeypatch):
    # What is found in each of both frames: a car where it is, and a person on the sky.
    def perfect_car(network, labels):
        def predict(image):
            ids = next(s.load_instance_ids() for s in task._val if _same(s, image))
            rows, columns = np.nonzero(ids == 26000)
            car = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            return InstancePrediction(
                torch.tensor([car, [0, 0, 20, 20], [0, 0, 9, 9]], dtype=torch.float32),
                torch.tensor([26, 24, 24]),
                torch.tensor([0.9, 0.8, 0.4]),
                torch.ones(3, 28, 28),
            )

        return predict

    monkeypatch.setattr("panoptic_ros.training.instance.InstancePredictor", perfect_car)
    counts = task.validate(SimpleNamespace(network=None), (0, 1))
    assert counts[CAR].tolist() == [2, 0, 2, pytest.approx(2.0)]
    # The detection below a score of 0.5 does not count.
    assert counts[PERSON].tolist() == [0, 2, 4, 0]
    halves = [task.validate(SimpleNamespace(network=None), (i, 2)) for i in (0, 1)]
    assert np.allclose(sum(halves), counts)
    scores = task.scores(task.trainee, counts)
    # Car: IoU 2 / (2 found + (0 spurious + 2 missed) / 2); person: 0.
    assert scores["PQ car"] == pytest.approx(100 * 2 / 3)
    assert scores["PQ things"] == pytest.approx(100 / 3)
    assert scores["recall"] == pytest.approx(25)
    assert scores["precision"] == pytest.approx(50)
    assert "PQ train" not in scores


def _same(sample, image):
    return np.array_equal(sample.load_image(), image)
