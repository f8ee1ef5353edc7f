import numpy as np
import pytest
import torch

from panoptic_ros.labels import CITYSCAPES, LabelClass, LabelSet
from panoptic_ros.prediction import (
    InstancePrediction,
    PanopticPrediction,
    Segment,
    SemanticPrediction,
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


def test_mask_is_the_label_image_compared_with_the_id():
    labels = np.array([[0, 26000], [26000, 26001]], np.uint16)
    segment = Segment(26000, 26, True, 0.9, 2, (0, 0, 2, 2))
    mask = PanopticPrediction(labels, [segment]).mask(segment)
    assert mask.tolist() == [[False, True], [True, False]]


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def random_prediction(size, scale, device="cpu"):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(19, 9, 14, generator=generator) * scale
    return SemanticPrediction(logits.to(device), size, CITYSCAPES)


@pytest.mark.parametrize("device", DEVICES)
def test_class_map_holds_label_ids(device):
    logits = torch.zeros(19, 2, 2, device=device)
    for channel, (y, x) in zip((0, 13, 18, 10), np.ndindex(2, 2), strict=True):
        logits[channel, y, x] = 5
    result = SemanticPrediction(logits, (2, 2), CITYSCAPES).class_map()
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, [[7, 26], [33, 23]])


def test_class_map_is_the_argmax_at_image_size():
    prediction = random_prediction((40, 61), 3)
    expected = CITYSCAPES.ids[prediction.upsampled().argmax(0).numpy()]
    assert (prediction.class_map() == expected).mean() > 0.999


def test_class_map_refuses_ids_beyond_8_bits():
    labels = LabelSet("large", (LabelClass(256, "thing", True, (1, 2, 3)),))
    with pytest.raises(ValueError, match="'large' has class id 256"):
        SemanticPrediction(torch.zeros(1, 2, 2), (2, 2), labels).class_map()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(9, 14), (40, 61), (5, 7)])
@pytest.mark.parametrize("scale", [0.1, 3, 30])
def test_confidence_map_is_the_softmax_at_image_size(size, scale, device):
    prediction = random_prediction(size, scale, device)
    expected = prediction.upsampled().softmax(0).amax(0).mul(255).cpu()
    result = prediction.confidence_map()
    assert result.dtype == np.uint8
    np.testing.assert_allclose(result.astype(float), expected, atol=1)


@pytest.mark.parametrize("device", DEVICES)
def test_confidence_map_of_extreme_logits(device):
    logits = torch.zeros(19, 1, 2, device=device)
    logits[3, 0, 0], logits[3, 0, 1] = 1e4, -1e4
    result = SemanticPrediction(logits, (1, 2), CITYSCAPES).confidence_map()
    np.testing.assert_array_equal(result, [[255, round(255 / 18)]])
