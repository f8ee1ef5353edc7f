"""Debian packages that parts of the project need: installed where that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

PACKAGES = {
    "To render the town": ("libegl1", "libgl1-mesa-dri"),
    "To test the report in a browser": ("chromium",),
}


def install_packages() -> list[str]:
    """Install what is missing, where no question has to be asked.

    Returns:
        What the user has to do by hand, a line for each purpose; empty when nothing.
    """
    missing = {
        purpose: [package for package in packages if not _is_installed(package)]
        for purpose, packages in PACKAGES.items()
    }
    return [
        f"{purpose}: {_by_hand(packages)}"
        for purpose, packages in missing.items()
        if packages and not _install(packages)
    ]


def _by_hand(packages: Sequence[str]) -> str:
    names = " ".join(packages)
    if shutil.which("apt-get"):
        return f"sudo apt-get install {names}"
    return f"install what your system has for Debian's {names}"


def _install(packages: Sequence[str]) -> bool:
    if not shutil.which("apt-get"):
        return False
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and (not shutil.which("sudo") or subprocess.run([*sudo, "true"]).returncode):
        return False
    install = [*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    # A fresh image has no package lists yet.
    for commands in ([install], [[*sudo, "apt-get", "update", "-qq"], install]):
        if all(subprocess.run(command).returncode == 0 for command in commands):
            return True
    return False


def _is_installed(package: str) -> bool:
    if not shutil.which("dpkg-query"):
        return False
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout == "installed"
