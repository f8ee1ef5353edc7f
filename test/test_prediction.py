import numpy as np
import pytest
import torch

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import (
    InstancePrediction,
    PanopticPrediction,
    Segment,
    SemanticPrediction,
    empty_instances,
)


def test_semantic_prediction_refuses_another_number_of_channels():
    with pytest.raises(ValueError, match=r"\[19, H, W\]"):
        SemanticPrediction(torch.zeros(20, 2, 2), (4, 4), CITYSCAPES)


def test_channels_are_the_argmax_at_image_size():
    logits = torch.zeros(19, 1, 2)
    logits[3, 0, 0] = logits[7, 0, 1] = 1
    semantic = SemanticPrediction(logits, (2, 4), CITYSCAPES)
    assert semantic.upsampled().shape == (19, 2, 4)
    assert semantic.channels.tolist() == [[3, 3, 7, 7]] * 2


def test_instance_prediction_refuses_parts_of_unequal_length():
    with pytest.raises(ValueError, match="2 scores"):
        InstancePrediction(
            torch.zeros(1, 4), torch.zeros(2).long(), torch.zeros(2), torch.zeros(2, 28, 28)
        )


def test_instances_are_selected_by_tensor():
    instances = InstancePrediction(
        torch.arange(8.0).reshape(2, 4),
        torch.tensor([24, 26]),
        torch.tensor([0.5, 0.9]),
        torch.zeros(2, 28, 28),
    )
    best = instances[instances.scores > 0.6]
    assert len(best) == 1
    assert best.class_ids.tolist() == [26]
    assert len(empty_instances()) == 0


def test_mask_is_the_label_image_compared_with_the_id():
    labels = np.array([[0, 26000], [26000, 26001]], np.uint16)
    segment = Segment(26000, 26, True, 0.9, 2, (0, 0, 2, 2))
    mask = PanopticPrediction(labels, [segment]).mask(segment)
    assert mask.tolist() == [[False, True], [True, False]]
