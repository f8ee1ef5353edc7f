"""Half precision on a CPU, where autocast does the same as on a GPU."""

import numpy as np
import pytest
import torch
from model_file import write
from shared_network import ONE_STAGE, architecture

from panoptic_ros.model import build
from panoptic_ros.model.config import load_model_config
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.prediction import NonFinitePrediction

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
REGIONS = {
    "name": "mask_rcnn",
    "box_channels": 32,
    "mask_channels": [16],
    "proposals": 20,
    "detections": 5,
    "score_threshold": 0.0,
}


def shared(instances, semantic="fpn_branch"):
    network = architecture(instances, semantic=semantic)
    entry = {"weights": "random", "architecture": network}
    return {"semantic": None, "instances": None, "network": entry, "head": None, "fusion": "stack"}


MODELS = {
    "two networks": {},
    "one, regions": shared(REGIONS),
    "one, AUNet's": shared(REGIONS, "attention_branch"),
    "one, YOLACT's": shared(ONE_STAGE),
}


@pytest.fixture
def on_cpu(monkeypatch):
    monkeypatch.setitem(build.HALF_TYPES, "cpu", torch.float16)


def layer_types(networks):
    """Return what the last convolution of each network computes in."""
    parts = getattr(networks, "semantic", networks), getattr(networks, "instances", networks)
    seen = set()
    for part in parts:
        for layer in part.network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.register_forward_hook(lambda module, inputs, out: seen.add(out.dtype))
                break
    networks(IMAGE)
    return seen


@pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS)
def test_layers_are_half_and_answers_whole_and_alike(changes, tmp_path, monkeypatch):
    config = load_model_config(write(tmp_path / "small.yaml", **changes))
    expected = build.build_networks(config, "cpu")(IMAGE)
    monkeypatch.setitem(build.HALF_TYPES, "cpu", torch.float16)
    networks = build.build_networks(config, "cpu")
    semantic, instances = networks(IMAGE)
    torch.testing.assert_close(semantic.logits, expected[0].logits, atol=0.02, rtol=0.02)
    values = (instances.boxes, instances.scores, instances.masks)
    assert {v.dtype for v in values} == {torch.float32}
    assert layer_types(networks) == {torch.float16}


@pytest.mark.parametrize(("half", "expected"), [(True, torch.float16), (False, torch.float32)])
def test_the_model_file_may_refuse_it(half, expected, tmp_path, on_cpu):
    config = load_model_config(write(tmp_path / "small.yaml", half=half))
    assert layer_types(build.build_networks(config, "cpu")) == {expected}


def test_a_cpu_computes_in_float32(tmp_path):
    config = load_model_config(write(tmp_path / "small.yaml"))
    assert layer_types(build.build_networks(config, "cpu")) == {torch.float32}
    assert build.HALF_TYPES["cuda"] == torch.float16


@pytest.mark.parametrize("part", ["semantic", "instance"])
def test_what_half_precision_cannot_hold_is_refused(part, tmp_path, on_cpu):
    """float16 ends at 65504: float32 would have held these answers."""
    pipeline = PanopticPipeline.load(str(write(tmp_path / "small.yaml")), device="cpu")
    if part == "semantic":
        layer = pipeline.networks.semantic.network.classifier.classifier[-1]
    else:
        layer = pipeline.networks.instances.network.roi_heads.box_predictor.cls_score
    with torch.no_grad():
        layer.bias[0] = 1e5
    with pytest.raises(NonFinitePrediction, match=f"the {part} network"):
        pipeline(IMAGE)


@pytest.mark.gpu
def test_a_gpu_computes_in_half_precision():
    image = np.kron(IMAGE, np.ones((8, 8, 1), np.uint8))
    on_gpu, on_cpu = (
        PanopticPipeline.load("town", device=name, engine="eager") for name in ("cuda", "cpu")
    )
    assert layer_types(on_gpu.networks) == {torch.float16}
    assert (on_gpu(image).labels == on_cpu(image).labels).mean() > 0.9
