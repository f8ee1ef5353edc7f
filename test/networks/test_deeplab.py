from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from panoptic_ros.networks import build

PUBLIC = Path(__file__).parents[1] / "data" / "deeplabv3plus_cityscapes_tensors.txt"
ARCHITECTURE = {"name": "deeplabv3plus_mobilenetv2", "num_classes": 19}


def spread(shape, phase):
    """Return values in -1..1 that look random and are the same with every torch."""
    i = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (torch.frac(i * 0.6180339887498949 + phase * 0.3) * 2 - 1).reshape(shape).float()


@pytest.fixture(scope="module")
def network():
    network = build(ARCHITECTURE).eval()
    for phase, (name, tensor) in enumerate(network.state_dict().items()):
        values = spread(tensor.shape, phase)
        if tensor.ndim == 4:
            tensor.copy_(values * (6 / tensor[0].numel()) ** 0.5)
        elif name.endswith(("running_var", "weight")):
            tensor.copy_(1 + values / 2)
        elif tensor.is_floating_point():
            tensor.copy_(values)
    return network


def test_tensors_are_those_of_the_public_checkpoint(network):
    lines = [line for line in PUBLIC.read_text().splitlines() if not line.startswith("#")]
    public = {name: tuple(map(int, shape)) for name, *shape in map(str.split, lines)}
    own = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    assert len(public) == 356
    assert own == public


@torch.inference_mode()
def test_logits_are_those_of_the_public_implementation(network):
    # Computed with VainF/DeepLabV3Plus-Pytorch (os 16) from the same weights and image. Its
    # padding shows here: zeros inside the depthwise convolutions change logits by up to 3.6.
    # The image is wide enough for the largest atrous rate to see more than its centre.
    logits = network(spread((1, 3, 161, 321), 0) * 2)
    upsampled = F.interpolate(logits, (161, 321), mode="bilinear", align_corners=False)[0]
    expected = {
        (0, 0, 0): -6.65099,
        (3, 160, 320): 7.87339,
        (7, 80, 150): 5.27183,
        (11, 20, 300): -2.79186,
        (18, 120, 40): 3.66466,
    }
    found = {point: upsampled[point].item() for point in expected}
    assert found == pytest.approx(expected, abs=1e-3)


def test_dropout_is_the_public_implementations(network):
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.1]


@pytest.mark.parametrize("size", [(64, 128), (65, 97), (33, 47), (63, 34)])
@torch.inference_mode()
def test_features_have_strides_4_and_16_at_any_size(network, size):
    low, high = network.backbone(torch.zeros(1, 3, *size))
    # The stem is not padded and loses the last row and column of an even image.
    stem = [(side - 3) // 2 + 1 for side in size]
    quarter = [-(-side // 2) for side in stem]
    assert list(low.shape) == [1, 24, *quarter]
    assert list(high.shape) == [1, 320, *(-(-side // 4) for side in quarter)]
    assert list(network(torch.zeros(1, 3, *size)).shape) == [1, 19, *quarter]


def test_a_narrow_decoder_keeps_the_backbone():
    narrow = build(ARCHITECTURE | {"decoder_channels": 32, "num_classes": 5}).eval()
    full = build(ARCHITECTURE).state_dict()
    own = narrow.state_dict()
    backbone = [name for name in full if name.startswith("backbone.")]
    assert all(own[name].shape == full[name].shape for name in backbone)
    assert own["classifier.classifier.0.weight"].shape == (32, 32 + 48, 3, 3)
    with torch.inference_mode():
        assert narrow(torch.zeros(2, 3, 64, 64)).shape == (2, 5, 16, 16)


def test_every_parameter_learns():
    network = build(ARCHITECTURE | {"decoder_channels": 16}).train()
    network(spread((2, 3, 64, 96), 1)).square().mean().backward()
    still = [n for n, p in network.named_parameters() if not p.grad.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"num_classes": 19}, "unknown architecture None; known: deeplabv3plus_mobilenetv2"),
        ({"name": "unet"}, "unknown architecture 'unet'"),
        ({"name": "deeplabv3plus_mobilenetv2"}, "'num_classes'; its parameters: num_classes"),
        (ARCHITECTURE | {"width": 3}, "'width'; its parameters: num_classes, decoder_channels"),
        (ARCHITECTURE | {"decoder_channels": "wide"}, "'deeplabv3plus_mobilenetv2': "),
    ],
)
def test_an_impossible_architecture_is_explained(architecture, message):
    with pytest.raises(ValueError, match=message):
        build(architecture)
