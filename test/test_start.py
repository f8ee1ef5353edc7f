"""What a process loads: nearly all the time that its start takes."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
from model_file import write_untrained

NETWORKS = """
import sys
import numpy as np
from panoptic_ros.pipeline import PanopticPipeline
pipeline = PanopticPipeline.load(sys.argv[1], device="cpu")
result = pipeline.run(np.zeros((64, 128, 3), np.uint8))
result.semantic.confidence_map()
assert not {"torch._dynamo", "torch._dynamo.utils", "torch._inductor"} & set(sys.modules)
"""
# What a torch.compile later, a GPU or a renderer needs of what was left out.
LATER = """
import torch
from panoptic_ros.networks import torchvision_start
sys.modules["torch._dynamo.utils"] = torchvision_start._stand_in
from torch._dynamo.utils import counters  # as another torchvision may
assert counters is torch._dynamo.utils.counters
asked = sys.modules["torchvision.ops.roi_align"].is_compile_supported
assert asked("cpu") is torch._dynamo.utils.is_compile_supported("cpu")
assert torch.compile(torch.relu, backend="eager")(torch.tensor(-1.0)) == 0
"""
RENDERER = """
from importlib.util import find_spec
assert "triton" in sys.modules or not find_spec("triton")
"""
WITHOUT_NETWORKS = """
import sys
import panoptic_ros.datasets, panoptic_ros.messages, panoptic_ros.replay.live
import panoptic_ros.synthetic.writer
assert "torch" not in sys.modules
"""
NODES = """
import panoptic_ros.ros.demo.camera_publisher, panoptic_ros.ros.demo.viewer
import panoptic_ros.ros.replay.evaluator, panoptic_ros.ros.replay.player
assert "torch" not in sys.modules
"""


def done(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120
    )


def test_networks_run_without_the_compiler_of_torch_which_is_there_when_asked(tmp_path):
    model = write_untrained(tmp_path / "model.yaml")
    run = done(NETWORKS + RENDERER + LATER, model)
    assert run.returncode == 0, run.stderr


def test_pictures_bags_and_messages_need_no_torch():
    nodes = NODES if find_spec("rclpy") else ""
    run = done(WITHOUT_NETWORKS + nodes)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", ["__file__", "__path__"])
def test_who_looks_through_all_modules_loads_nothing(name):
    from panoptic_ros.networks import torchvision_start

    assert not hasattr(torchvision_start._stand_in, name)
