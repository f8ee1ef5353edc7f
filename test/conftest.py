import os
import signal

# Tests, and the processes that they start, share few cores: threads that spin while they wait
# slow everybody down. torch's OpenMP reads this once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch

# Before anything draws with EGL: its software renderer and torch's triton bring an LLVM each, and
# the second to come ends the process.
import torchvision  # noqa: F401

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


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
