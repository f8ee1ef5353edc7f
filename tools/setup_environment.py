"""`make setup`: everything that the package needs, into ./.venv, ./build and ./install.

One argument, perhaps empty: the ROS 2 distribution whose wheels are wanted (`make setup ROS=`).
Runs on the standard library of any Python 3.8 or newer, so that it can say what is wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tools import fingerprints, preflight
from tools.debian import install_packages
from tools.environment import DISTRIBUTIONS, Environment

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = ("panoptic_ros", "config", "launch", "sample", "weights")
BUILD_FILES = (
    "CMakeLists.txt",
    "package.xml",
    "scripts/panoptic_node.in",
    "scripts/replay_evaluator.in",
)


def main(distribution: str = "") -> int:
    """Set up what is not set up yet; return the exit code."""
    problem = _unfit(distribution)
    if problem:
        print(f"make setup cannot start: {problem}", file=sys.stderr)
        return 1
    environment = Environment(ROOT, distribution)
    try:
        if not environment.is_complete():
            problems = _problems(environment)
            if problems:
                print("make setup cannot start:", *problems, sep="\n  ", file=sys.stderr)
                return 1
            _install(environment)
        elif _is_built(environment):
            print("panoptic_ros is set up: nothing to do.")
            return 0
        return _build(environment)
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd[:4]))
        print(
            f"make setup stopped: `{command} ...` failed (see above). Run make setup again once "
            "that is mended: it goes on from here.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nmake setup was interrupted; run it again: it goes on from here.", file=sys.stderr)
        return 130


def _unfit(distribution: str) -> str:
    """Say why wheels of a distribution cannot be taken, empty where they can."""
    sourced = os.environ.get("ROS_DISTRO", "")
    if sourced and distribution not in ("", sourced):
        return (
            f"ROS 2 {sourced} is sourced, but ROS={distribution} is wanted: leave ROS= out, or use "
            "a shell that sources no ROS 2"
        )
    if sourced or distribution in ("", *DISTRIBUTIONS):
        return ""
    return (
        f"ROS={distribution}: there are wheels of {' and '.join(DISTRIBUTIONS)}; for another, "
        "install it and source /opt/ros/DISTRO/setup.bash (docs/installation.md)"
    )


def _problems(environment: Environment) -> list[str]:
    problems = preflight.problems(ROOT, with_wheels=environment.on_wheels)
    if not environment.on_wheels:
        rclpy = subprocess.run([sys.executable, "-c", "import rclpy"], capture_output=True)
        if rclpy.returncode:
            problems.append(
                f"ROS 2 {environment.ros} is wanted, but {sys.executable} cannot import its rclpy: "
                f"source /opt/ros/{environment.ros}/setup.bash, and name ROS 2's Python: "
                "make setup PYTHON=/usr/bin/python3"
            )
    return problems


def _install(environment: Environment) -> None:
    start = time.monotonic()
    kind = "wheels of" if environment.on_wheels else "the installed"
    source = f"{kind} ROS 2 {environment.distribution}"
    print(
        f"[1/2] Python packages into {environment.prefix}, on {source}. A first time takes some "
        "minutes and about 7 GB.",
        flush=True,
    )
    environment.install()
    by_hand = install_packages()
    print(f"[1/2] done in {time.monotonic() - start:.0f} s.", *by_hand, sep="\n  ", flush=True)


def _build(environment: Environment) -> int:
    start = time.monotonic()
    print("[2/2] messages and node into ./install", flush=True)
    command = ["colcon", "build", "--symlink-install", "--cmake-args"]
    command.append(f"-DPython3_EXECUTABLE={environment.python}")
    result = subprocess.run(command, cwd=ROOT, env=_build_variables(environment))
    if result.returncode:
        print("make setup stopped: colcon build failed (see above).", file=sys.stderr)
        return 1
    _build_stamp().write_text(_build_fingerprint(environment))
    print(
        f"[2/2] done in {time.monotonic() - start:.0f} s. "
        "Now: make demo, or source env.sh and run panoptic_node.",
        flush=True,
    )
    return 0


def _build_variables(environment: Environment) -> dict[str, str]:
    prefix = str(environment.prefix)
    variables = dict(os.environ, VIRTUAL_ENV=prefix, OMP_NUM_THREADS="1")
    variables["PATH"] = os.pathsep.join([f"{prefix}/bin", os.environ.get("PATH", "")])
    if environment.on_wheels:
        # The wheels make the environment itself a ROS 2 prefix. An install space that env.sh
        # has put on these paths must not become a part of its own build.
        variables.update(AMENT_PREFIX_PATH=prefix, CMAKE_PREFIX_PATH=prefix)
        # colcon warns each time that such a prefix has no local_setup files.
        variables["COLCON_LOG_LEVEL"] = "error"
        variables.pop("COLCON_PREFIX_PATH", None)
    return variables


def _build_stamp() -> Path:
    return ROOT / "install" / ".built"


def _build_fingerprint(environment: Environment) -> str:
    facts = fingerprints.files_below(*(ROOT / name for name in INSTALLED))
    interfaces = [*(ROOT / "msg").glob("*.msg"), *(ROOT / "srv").glob("*.srv")]
    contents = [*(ROOT / name for name in BUILD_FILES), *interfaces]
    return fingerprints.fingerprint(facts=[environment.ros, *facts], contents=contents)


def _is_built(environment: Environment) -> bool:
    return fingerprints.is_done(_build_stamp(), _build_fingerprint(environment))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
