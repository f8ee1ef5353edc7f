import numpy as np
import pytest
import torch

from panoptic_ros.labels import CITYSCAPES, LabelClass, LabelSet
from panoptic_ros.prediction import SemanticPrediction
from panoptic_ros.semantic_maps import class_map, confidence_map

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
    result = class_map(SemanticPrediction(logits, (2, 2), CITYSCAPES))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, [[7, 26], [33, 23]])


def test_class_map_is_the_argmax_at_image_size():
    prediction = random_prediction((40, 61), 3)
    expected = CITYSCAPES.ids[prediction.upsampled().argmax(0).numpy()]
    assert (class_map(prediction) == expected).mean() > 0.999


def test_class_map_refuses_ids_beyond_8_bits():
    labels = LabelSet("large", (LabelClass(256, "thing", True, (1, 2, 3)),))
    with pytest.raises(ValueError, match="'large' has class id 256"):
        class_map(SemanticPrediction(torch.zeros(1, 2, 2), (2, 2), labels))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(9, 14), (40, 61), (5, 7)])
@pytest.mark.parametrize("scale", [0.1, 3, 30])
def test_confidence_map_is_the_softmax_at_image_size(size, scale, device):
    prediction = random_prediction(size, scale, device)
    expected = prediction.upsampled().softmax(0).amax(0).mul(255).cpu()
    result = confidence_map(prediction)
    assert result.dtype == np.uint8
    np.testing.assert_allclose(result.astype(float), expected, atol=1)


@pytest.mark.parametrize("device", DEVICES)
def test_confidence_map_of_extreme_logits(device):
    logits = torch.zeros(19, 1, 2, device=device)
    logits[3, 0, 0], logits[3, 0, 1] = 1e4, -1e4
    result = confidence_map(SemanticPrediction(logits, (1, 2), CITYSCAPES))
    np.testing.assert_array_equal(result, [[255, round(255 / 18)]])
