"""Make CMake files from the ROS 2 wheels name this environment instead of their build machine."""

from __future__ import annotations

import re
from pathlib import Path

_BUILD_PYTHON = r"/opt/python/cp\d+-cp\d+t?"
_INCLUDE = re.compile(_BUILD_PYTHON + r"/include/python\d+\.\d+t?")
_SITE_PACKAGES = re.compile(_BUILD_PYTHON + r"/lib/python\d+\.\d+t?/site-packages")


def repair_exports(share: Path, include: str, site_packages: str) -> int:
    """Rewrite the Python folders in every CMake file below ``share``.

    Args:
        share: the environment's share/ folder.
        include: folder that holds Python.h.
        site_packages: folder that holds numpy.

    Returns:
        How many files changed; 0 when there was nothing left to do.
    """
    changed = 0
    for path in sorted(share.glob("*/cmake/**/*.cmake")):
        before = path.read_text(encoding="utf-8")
        after = _INCLUDE.sub(lambda _: include, before)
        after = _SITE_PACKAGES.sub(lambda _: site_packages, after)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed += 1
    return changed
