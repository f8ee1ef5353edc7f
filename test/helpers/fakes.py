"""Stand-ins for ROS packages that are no wheels."""

import contextlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path

import pytest


@contextlib.contextmanager
def installed_or_fake(package, module):
    """Yield a module of a ROS package, for this process and those that it starts.

    Where it is not installed, it is the one in the folder `fake_PACKAGE`.
    """
    top = module.partition(".")[0]
    if importlib.util.find_spec(top) is not None:
        yield importlib.import_module(module)
        return
    folder = str(Path(__file__).parent / f"fake_{package}")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        patch.setenv("PYTHONPATH", os.pathsep.join([folder, *paths]))
        yield importlib.import_module(module)
    # Not by the patch, which puts back what it takes: the next test file would find them.
    for name in [n for n in sys.modules if n.partition(".")[0] == top]:
        del sys.modules[name]
