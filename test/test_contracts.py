"""What pyproject.toml says of who may import whom is noticed when it is broken, anywhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import TIMEOUT

ROOT = Path(__file__).resolve().parents[1]
LAYERS = "Upper layers import lower ones only"
CIRCLES = "No circles, neither of folders nor of files"
ROS = "ROS 2 only below ros/"
MESSAGES = "This package's messages only below ros/"
MUJOCO = "mujoco only in synthetic/"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", root)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "panoptic_ros", root / "panoptic_ros", ignore=ignore)
    return root


def _broken(tree):
    """Return what lint-imports prints, and the contracts that it finds broken."""
    run = subprocess.run(
        ["lint-imports", "--no-logo"], cwd=tree, capture_output=True, text=True, timeout=TIMEOUT
    )
    broken = re.findall(r"^(.*) BROKEN", run.stdout, re.MULTILINE)
    assert (run.returncode != 0) == bool(broken), run.stdout + run.stderr
    return run.stdout, broken


def test_the_tree_keeps_its_contracts(tree):
    out, broken = _broken(tree)
    assert broken == []
    assert "Contracts: 5 kept" in out


def _lazily(statement):
    return f"def _late() -> None:\n    {statement}"


@pytest.mark.parametrize(
    ("file", "code", "contract"),
    [
        ("labels.py", "import rclpy", ROS),
        ("__main__.py", "import rclpy", ROS),
        ("__init__.py", "import rclpy", ROS),
        ("pipeline.py", _lazily("from sensor_msgs.msg import Image"), ROS),
        ("messages/depth.py", "import tf2_ros", ROS),
        ("grid/__init__.py", "from nav_msgs import msg", ROS),
        ("resources.py", "from panoptic_ros.msg import LabelInfo", MESSAGES),
        ("__main__.py", _lazily("import panoptic_ros.msg"), MESSAGES),
        ("scores/matching.py", _lazily("import mujoco"), MUJOCO),
        ("visualization.py", "from mujoco import MjModel", MUJOCO),
        ("geometry/poses.py", "from panoptic_ros import pipeline", LAYERS),
        ("pipeline.py", _lazily("import panoptic_ros.cli.demo"), LAYERS),
        ("grid/layers.py", "import panoptic_ros.tracking", CIRCLES),
        ("in_no_layer.py", "", LAYERS),
        ("labels.py", "import panoptic_ros.prediction", CIRCLES),
        ("checkpoints/state.py", "import panoptic_ros.checkpoints.weights_file", CIRCLES),
    ],
)
def test_an_import_that_breaks_a_contract_is_noticed(tree, file, code, contract):
    path = tree / "panoptic_ros" / file
    before = path.read_text() if path.exists() else None
    path.write_text(f"{before or ''}\n{code}\n")
    try:
        out, broken = _broken(tree)
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert contract in broken, out


def test_the_contract_knows_every_ros_package_that_ros_imports():
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("panoptic_ros", include_external_packages=True, cache_dir=None)
    ros = {
        module
        for module in graph.modules
        if re.search(r"_(msgs|interfaces|srvs|py|cpp|ros|bridge)$|^rcl|^tf2", module)
    } - {"panoptic_ros"}
    assert "rclpy" in ros
    text = (ROOT / "pyproject.toml").read_text()
    assert ros <= set(re.findall(r'^    "(\w+)",$', text, re.MULTILINE))


def test_every_test_file_and_helper_has_a_name_of_its_own():
    # Packages in helpers/ stand for others' and have those names.
    paths = [*(ROOT / "test").rglob("test_*.py"), *(ROOT / "test" / "helpers").glob("*.py")]
    names = [path.name for path in paths]
    assert sorted(set(names)) == sorted(names)


def test_a_plugin_that_skips_files_cannot_hide_a_folder(tmp_path):
    (tmp_path / "skips_all.py").write_text(
        "import pytest\n"
        "def pytest_pycollect_makemodule(module_path, parent):\n"
        "    pytest.skip('as launch_testing does, of a file that skips itself')\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "skips_all", "--collect-only", "-q", "test/tools"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "test/tools/test_preflight.py::" in run.stdout
