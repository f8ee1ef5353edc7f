import os
import signal
from pathlib import Path

# Tests, and the processes that they start, share few cores: threads that spin while they wait
# slow everybody down. torch's OpenMP reads this once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest

# A shell that starts the tests in the background lets them, and what they start, ignore SIGINT.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path, parent):
    # launch_testing's plugin, which every installed ROS 2 brings, imports each file by its bare
    # name to see whether it is a launch test. One that skips itself then hides its whole folder.
    if module_path.parent.name != "launch":
        return pytest.Module.from_parent(parent, path=module_path)
    return None


# The files that take longest, from the longest on: what comes last is to be short, since the other
# workers wait for it.
LONG = (
    "ros/test_replay_live.py",
    "ros/test_node_faults.py",
    "ros/test_node_process.py",
    "replay/test_offline.py",
    "replay/test_archive.py",
    "demo/test_demo.py",
    "ros/test_node_overload.py",
    "checkpoints/test_convert.py",
    "ros/test_node_fuzz.py",
    "model/test_export.py",
    "ros/test_node_lifecycle.py",
    "ros/test_node_options.py",
    "cli/test_evaluate_dataset.py",
    "ros/test_node_ground.py",
    "training/test_runs.py",
    "training/test_loop.py",
    "checkpoints/test_foreign.py",
    "ros/test_node_frames.py",
    "ros/test_node_cameras.py",
    "test_kill_points.py",
    "test_extras.py",
    "synthetic/test_world.py",
)


def pytest_collection_modifyitems(items):
    import torch

    # Before anything draws with EGL: its software renderer and torch's triton bring an LLVM each,
    # and the second to come ends the process. Only here, where the process that shares out the
    # tests among others does not come by.
    import torchvision  # noqa: F401

    places = {Path(__file__).parent / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def no_egl(monkeypatch):
    """Let nothing be rendered."""

    def cannot_render():
        raise OSError("no libegl1")

    monkeypatch.setattr("panoptic_ros.synthetic.check_rendering", cannot_render)
