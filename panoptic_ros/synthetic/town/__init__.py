"""A procedural town: streets rendered with exact labels, depth, poses and ground plans.

`Town(seed)` in `world.py` builds a scene, `Town.frame(time)` draws it; `writer.py` and
`bag.py` put frames on disk. Rendering needs EGL; `check_rendering` says whether it is there.
"""

from __future__ import annotations

import os

# MuJoCo chooses its OpenGL when it is first imported.
os.environ.setdefault("MUJOCO_GL", "egl")


def check_rendering() -> None:
    """Raise RuntimeError, with what to install, where nothing can be rendered off screen."""
    try:
        import mujoco

        context = mujoco.GLContext(16, 16)
        context.make_current()
        context.free()
    # Without libEGL, PyOpenGL fails while it is imported, with an AttributeError of None.
    except (ImportError, AttributeError, RuntimeError, OSError) as error:
        raise RuntimeError(
            f"cannot render the town ({error}): it needs the package mujoco and EGL; on Debian "
            "or Ubuntu install libegl1 and libgl1-mesa-dri"
        ) from error
