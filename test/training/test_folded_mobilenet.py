import copy
from pathlib import Path

import folded_file
import pytest
import safetensors.torch
import torch
from torch import nn

from panoptic_ros.model.predictors import IMAGENET_MEAN, IMAGENET_STD
from panoptic_ros.networks import build
from panoptic_ros.training.folded_mobilenet import read_folded, rescaled, unfold

SHARED = Path(__file__).parents[3] / "shared" / "pretrained"


def _backbone(norm):
    if norm == "semantic":
        return build(folded_file.SEMANTIC).backbone
    return build({**folded_file.DETECTOR, "norm": norm}).backbone.body


@pytest.fixture(scope="module", params=["random", "shared"])
def file(request, tmp_path_factory):
    if request.param == "random":
        return folded_file.write(tmp_path_factory.mktemp("folded") / "mobilenet.safetensors")
    shared = SHARED / "mobilenet_v2_imagenet.safetensors"
    if not shared.is_file():
        pytest.skip(f"{shared} is not there")
    return shared


def _plain(backbone, layers):
    """Return the backbone with the file's convolutions, bias included, and no norms."""
    plain = copy.deepcopy(backbone)
    pairs = iter(layers)
    for name, layer in list(plain.named_modules()):
        if isinstance(layer, nn.Conv2d):
            weight, bias = next(pairs)
            layer.weight.data, layer.bias = weight, nn.Parameter(bias)
        elif hasattr(layer, "running_var"):
            parent, _, child = name.rpartition(".")
            setattr(plain.get_submodule(parent), child, nn.Identity())
    return plain.eval()


def _outputs(backbone, images):
    found = backbone(images)
    return list(found.values()) if isinstance(found, dict) else list(found)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["semantic", "batch", "frozen"])
def test_the_network_with_norms_computes_what_the_folded_one_does(file, kind):
    torch.manual_seed(5)
    backbone = _backbone(kind)
    layers = read_folded(file)
    unfold(backbone, layers, torch.randn(2, 3, 64, 64))
    images = torch.randn(1, 3, 64, 96)
    for ours, theirs in zip(
        _outputs(backbone.eval(), images), _outputs(_plain(backbone, layers), images), strict=True
    ):
        assert theirs.std() > 0.01
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.std()))


@torch.no_grad()
def test_norms_in_training_see_on_these_images_what_they_expect(file):
    torch.manual_seed(5)
    backbone = _backbone("semantic").train()
    images = torch.randn(2, 3, 64, 64)
    unfold(backbone, read_folded(file), images)
    assert backbone.training
    expected = _outputs(copy.deepcopy(backbone).eval(), images)
    for ours, theirs in zip(_outputs(backbone, images), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2 * float(theirs.std()))


@torch.no_grad()
def test_the_stem_takes_pixels_normalised_by_imagenet(file):
    layers = read_folded(file)
    pixels = torch.rand(1, 3, 8, 8)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    (weight, bias), (ours, our_bias) = layers[0], rescaled(layers)[0]
    expected = nn.functional.conv2d(2 * pixels - 1, weight, bias)
    found = nn.functional.conv2d((pixels - mean) / std, ours, our_bias)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_another_backbone_is_refused(file):
    body = build({**folded_file.DETECTOR, "backbone": "resnet50_fpn"}).backbone.body
    with pytest.raises(ValueError, match="the backbone is no MobileNetV2"):
        unfold(body, read_folded(file), torch.zeros(1, 3, 32, 32))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        read_folded(path)
    safetensors.torch.save_file({"00w": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"no folded MobileNetV2: 00b is missing"):
        read_folded(path)
