"""A procedural town: streets rendered with exact labels, depth, poses and ground plans.

`World(seed)` in `world.py` builds a scene, `World.frame(index)` draws it; `highway.py` and
`old_town.py` have its other settings, roads between towns and narrow streets on hills; `rain.py`
and `night.py` draw other weather; `writer.py` and `town_bag.py` put frames on disk. Rendering
needs EGL; `check_rendering` says whether it is there.
"""

from __future__ import annotations

import ctypes
import importlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mujoco


def _opengl() -> str:
    """Return what MuJoCo shall draw with: asked for EGL without it, its import would fail."""
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return "disabled"
    return "egl"


# MuJoCo chooses its OpenGL when it is first imported.
os.environ.setdefault("MUJOCO_GL", _opengl())


def gl_context() -> mujoco.GLContext:
    """Return a new OpenGL context to draw with off screen; raise what MuJoCo does without one."""
    import mujoco

    # torch's triton brings an LLVM, as EGL's software renderer does: loaded later, as networks
    # would, it ends the process.
    with suppress(ImportError):
        importlib.import_module("triton")
    return mujoco.GLContext(16, 16)


def check_rendering() -> None:
    """Raise OSError, with what to install, where nothing can be rendered off screen."""
    try:
        context = gl_context()
        context.make_current()
        context.free()
    # Without libEGL, PyOpenGL fails while it is imported, with an AttributeError of None.
    except (ImportError, AttributeError, RuntimeError, OSError) as error:
        raise OSError(
            f"cannot render the town ({error}): it needs mujoco, the extra `synthetic`, and "
            "EGL; on Debian or Ubuntu install libegl1 and libgl1-mesa-dri"
        ) from error
