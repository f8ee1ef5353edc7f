"""What must be on the machine before anything is downloaded, and how to get it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

SUPPORTED_PYTHON = ((3, 10), (3, 14))
# Measured: 6.8 GB of environment, and 2.9 GB of downloads that pip keeps until it has ended.
ENVIRONMENT_GB = 7.5
TEMPORARY_GB = 3.5


def problems(root: Path, *, with_wheels: bool) -> list[str]:
    """List what is missing for an environment in ``root``, each with the way to get it."""
    found = [_python(), *_programs(), *_space(root, Path(tempfile.gettempdir()))]
    if with_wheels:
        found.append(_platform())
    return [problem for problem in found if problem]


def _python() -> str:
    low, high = SUPPORTED_PYTHON
    here = f"{sys.executable} is Python {sys.version_info[0]}.{sys.version_info[1]}"
    if not low <= sys.version_info[:2] <= high:
        versions = "{}.{} to {}.{}".format(*low, *high)
        return f"{here}; {versions} are supported. Name one: make setup PYTHON=python3.12"
    # Debian splits these off python3.
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    missing = []
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        missing.append(f"{package}-venv")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        missing.append(f"{package}-dev")
    if missing:
        packages = " ".join(missing)
        return f"{here}, without its parts {packages}: sudo apt-get install {packages}"
    return ""


def _programs() -> list[str]:
    wanted = {
        os.environ.get("CC", "cc"): "build-essential",
        os.environ.get("CXX", "c++"): "build-essential",
        "cmake": "cmake",
    }
    return [
        f"`{program}` is not on the PATH: sudo apt-get install {package}"
        for program, package in wanted.items()
        if not shutil.which(program.split()[0])
    ]


def _space(root: Path, temporary: Path) -> list[str]:
    if root.stat().st_dev == temporary.stat().st_dev:
        return [_free_space(root, ENVIRONMENT_GB + TEMPORARY_GB)]
    other = _free_space(temporary, TEMPORARY_GB)
    hint = ". Or name another folder: TMPDIR=/path make setup"
    return [_free_space(root, ENVIRONMENT_GB), other and other + hint]


def _free_space(folder: Path, needed_gb: float) -> str:
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb >= needed_gb:
        return ""
    return f"the disk of {folder} has {free_gb:.1f} GB free; {needed_gb:.0f} GB are needed"


def _platform() -> str:
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        return ""
    return (
        f"ROS 2 comes as Python wheels for x86-64 Linux only, this is {platform.system()} "
        f"{platform.machine()}: install ROS 2, then source /opt/ros/DISTRO/setup.bash and run "
        "make setup again"
    )
