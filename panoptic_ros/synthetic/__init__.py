"""A procedural town: streets rendered with exact labels, depth, poses and ground plans.

`World(seed)` in `world.py` builds a scene, `World.frame(index)` draws it; `highway.py` has its
second setting, roads between towns; `rain.py` and `night.py` draw other weather; `writer.py`
and `town_bag.py` put frames on disk. Rendering needs EGL; `check_rendering` says whether it is
there.
"""

from __future__ import annotations

import ctypes
import os


def _opengl() -> str:
    """Return what MuJoCo shall draw with: asked for EGL without it, its import would fail."""
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return "disabled"
    return "egl"


# MuJoCo chooses its OpenGL when it is first imported.
os.environ.setdefault("MUJOCO_GL", _opengl())


def check_rendering() -> None:
    """Raise OSError, with what to install, where nothing can be rendered off screen."""
    try:
        import mujoco

        context = mujoco.GLContext(16, 16)
        context.make_current()
        context.free()
    # Without libEGL, PyOpenGL fails while it is imported, with an AttributeError of None.
    except (ImportError, AttributeError, RuntimeError, OSError) as error:
        raise OSError(
            f"cannot render the town ({error}): it needs mujoco, the extra `synthetic`, and "
            "EGL; on Debian or Ubuntu install libegl1 and libgl1-mesa-dri"
        ) from error
