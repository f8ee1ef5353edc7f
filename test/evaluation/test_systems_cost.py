from types import SimpleNamespace

import numpy as np
import painted_model
import pytest
import torch
from torch import nn
from torchvision.ops import DeformConv2d

from panoptic_ros.evaluation import systems_cost
from panoptic_ros.evaluation.systems_cost import gflops, parameters, time_in_turns
from panoptic_ros.pipeline import PanopticPipeline

IMAGE = np.zeros((8, 16, 3), np.uint8)


class Deformable(nn.Module):
    """Sample at the cells themselves: what a plain convolution does."""

    def __init__(self):
        super().__init__()
        self.convolution = DeformConv2d(3, 4, 3, padding=1, groups=1, bias=False)

    def forward(self, x):
        return self.convolution(x, x.new_zeros(len(x), 18, *x.shape[2:]))


class Pipeline:
    """One network, and what stands for a head of 5 parameters."""

    fusion_name = "stack"

    def __init__(self, network):
        self.networks = SimpleNamespace(network=network)
        self.head = nn.Linear(5, 1, bias=False)

    def __call__(self, image):
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            return self.networks.network(pixels)


@pytest.mark.parametrize(
    "network", [nn.Conv2d(3, 4, 3, padding=1, bias=False), Deformable()], ids=["plain", "deform"]
)
def test_parameters_and_operations_of_a_convolution(network):
    pipeline = Pipeline(network)
    assert parameters(pipeline) == 3 * 4 * 9 + 5
    # A multiplication and an addition for each weight, cell and output.
    expected = 2 * 8 * 16 * 4 * 3 * 9
    assert gflops(pipeline, [IMAGE, IMAGE]) == pytest.approx(expected / 1e9)


def test_an_onnx_network_has_no_such_figures(tmp_path):
    file = painted_model.write_model(tmp_path, (32, 64), (4, 4, 20, 20))
    pipeline = PanopticPipeline.load(str(file), device="cpu")
    assert parameters(pipeline) is None
    assert gflops(pipeline, [np.zeros((32, 64, 3), np.uint8)]) is None


def test_systems_take_turns_and_the_first_rounds_do_not_count(monkeypatch):
    seen = []

    def timed(pipeline, image, strategies):
        seen.append((pipeline.networks.network, int(image[0, 0, 0])))
        # The first round is slow.
        stages = dict.fromkeys(("upload", "semantic", "instances"), 90.0 if len(seen) <= 4 else 1.0)
        return None, None, {**stages, "fusion stack": float(image[0, 0, 0])}

    monkeypatch.setattr(systems_cost, "timed", timed)
    pipelines = {"a": Pipeline("A"), "b": Pipeline("B")}
    images = [np.full_like(IMAGE, value) for value in (2, 4)]
    found = time_in_turns(pipelines, images)
    assert seen == [(name, value) for value in (2, 2, 2, 4) for name in "AB"]
    assert [found[name]["mean"] for name in "ab"] == [6, 6]
    assert found["a"]["max"] == 7
