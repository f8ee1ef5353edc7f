"""What the package says of itself agrees with what is in it."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import yaml

import panoptic_ros
from panoptic_ros.extras import MODULES
from panoptic_ros.transports import CHOICES, large_image_settings, profiles_file
from tools import setup_environment

ROOT = Path(__file__).resolve().parents[1]
# Module -> distribution or rosdep key, where the names differ.
DISTRIBUTIONS = {
    "rerun": "rerun-sdk",
    "kornia_rs": "kornia-rs",
    "PIL": "pillow",
    "backports": "backports.zstd",
    "cv2": "opencv-python-headless",
    "yaml": "pyyaml",
}
ROSDEP_KEYS = {
    "PIL": "python3-pil",
    "cv2": "python3-opencv",
    "jinja2": "python3-jinja2",
    "numpy": "python3-numpy",
    "requests": "python3-requests",
    "tf2_ros": "tf2_ros_py",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}
# In no Ubuntu of every supported ROS 2: docs/installation.md.
WITHOUT_ROSDEP_KEY = {"safetensors", "torch", "torchvision"}
# Imported by one of the others, not by this package.
INDIRECT = {"pydeprecate", "requests", "rich"}
# Used where it is installed, not needed; the standard library's from Python 3.14 on.
OPTIONAL = {"compression", "cv_bridge"}


def _imports(folder):
    """Return the top-level modules that the files below a folder import."""
    modules = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add(node.module.split(".")[0])
    return modules - set(sys.stdlib_module_names) - {"panoptic_ros"} - OPTIONAL


def _package_xml():
    return ElementTree.parse(ROOT / "package.xml").getroot()


def _text(name):
    return (ROOT / name).read_text()


def _depends():
    return {element.text for element in _package_xml() if element.tag.endswith("depend")}


def _requirements():
    lines = [
        line
        for file in (ROOT / "requirements").glob("*.txt")
        if file.name != "constraints.txt"
        for line in file.read_text().splitlines()
    ]
    return {re.split(r"[\[<>=~;]", line)[0].strip() for line in lines if line[:1] not in ("", "#")}


def _ros_modules():
    return {m for m in _imports("panoptic_ros/ros") | _imports("launch") if _is_ros(m)}


def _is_ros(module):
    return module not in DISTRIBUTIONS and module not in _requirements()


def test_package_xml_names_what_the_ros_part_and_the_launch_files_import():
    needed = {ROSDEP_KEYS.get(module, module) for module in _ros_modules()}
    assert "rclpy" in needed
    assert needed <= _depends()


def test_package_xml_names_what_the_core_imports():
    lines = (ROOT / "requirements" / "core.txt").read_text().splitlines()
    core = {re.split(r"[<>=]", line)[0] for line in lines if not line.startswith("#")}
    modules = {m for m in _imports("panoptic_ros") if DISTRIBUTIONS.get(m, m) in core}
    needed = {ROSDEP_KEYS[module] for module in modules - WITHOUT_ROSDEP_KEY}
    assert "python3-numpy" in needed
    assert needed <= _depends()


def test_the_requirement_files_name_every_other_import():
    needed = {DISTRIBUTIONS.get(m, m) for m in _imports("panoptic_ros") - _ros_modules()}
    assert "torch" in needed
    assert needed <= _requirements()


@pytest.mark.parametrize("part", MODULES)
def test_the_extras_are_those_of_the_requirement_files_and_documented(part):
    files = [part, "no_deps"] if part == "tracking" else [part]
    text = "".join((ROOT / "requirements" / f"{file}.txt").read_text() for file in files)
    wanted = set(re.findall(r"^[\w.-]+", text, re.MULTILINE))
    if part == "tracking":
        wanted -= INDIRECT
    assert wanted == {DISTRIBUTIONS.get(module, module) for module in MODULES[part]}
    documented = (ROOT / "docs" / "installation.md").read_text()
    assert re.search(rf"^\| `{part}` \|", documented, re.MULTILINE)


def test_every_pin_names_one_version():
    for line in (ROOT / "requirements" / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            assert re.fullmatch(r'[\w.-]+==[\w.+]+(; python_version (<|>=) "3\.11")?', line)


def test_versions_agree():
    assert 'version = { attr = "panoptic_ros.__version__" }' in _text("pyproject.toml")
    assert _package_xml().findtext("version") == panoptic_ros.__version__


def test_both_ways_of_installing_bring_the_files_that_the_code_asks_for():
    code = "".join(path.read_text() for path in (ROOT / "panoptic_ros").rglob("*.py"))
    wanted = set(re.findall(r'share_dir\(\) / "(\w+)"', code))
    assert "config" in wanted
    (by_pip,) = re.findall(r"^DATA = (.*)$", (ROOT / "setup.py").read_text(), re.MULTILINE)
    cmake = (ROOT / "CMakeLists.txt").read_text()
    (by_cmake,) = re.findall(r"install\(DIRECTORY (.*) DESTINATION share/", cmake)
    # rosidl installs msg/ itself.
    assert wanted <= set(ast.literal_eval(by_pip)) <= {*by_cmake.split(), "msg"}
    assert set(by_cmake.split()) <= set(setup_environment.INSTALLED)


INTERFACES = sorted([*(ROOT / "msg").glob("*.msg"), *(ROOT / "srv").glob("*.srv")])


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.stem)
def test_every_message_is_built_and_every_field_explained(path):
    lines = [line.strip() for line in path.read_text().splitlines()]
    fields = [line for line in lines if line and line[0] != "#" and line != "---"]
    assert fields
    for line in fields:
        assert re.fullmatch(r"[\w/]+(\[\])? \w+(=\d+)?\s+# \S.*", line), line
    assert f"{path.parent.name}/{path.name}" in (ROOT / "CMakeLists.txt").read_text()


def test_the_views_show_topics_of_the_node():
    rviz = yaml.safe_load((ROOT / "config" / "panoptic.rviz").read_text())
    displays = rviz["Visualization Manager"]["Displays"]
    topics = {d["Topic"]["Value"]: d["Class"] for d in displays if "Topic" in d}
    assert topics["/panoptic/color"] == topics["/panoptic/labels"] == "rviz_default_plugins/Image"

    layout = json.loads((ROOT / "config" / "panoptic_foxglove.json").read_text())
    panels = layout["configById"].values()
    images = [panel.get("imageMode", {}).get("imageTopic") for panel in panels]
    assert {"/panoptic/color", "/panoptic/labels"} <= set(images)
    assert set(_leaves(layout["layout"])) == set(layout["configById"])


def _leaves(part):
    if isinstance(part, str):
        return [part]
    return _leaves(part["first"]) + _leaves(part["second"])


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_env_sh_needs_no_certain_folder_and_changes_no_option(shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    if not (ROOT / ".venv" / ".ros").is_file():
        pytest.skip("this tree was not set up by make setup")
    script = (
        f"set -eu; before=$-; source '{ROOT}/env.sh'; [ $before = $- ]; "
        "which python panoptic_node; "
        'python -c "import rclpy, panoptic_ros.msg"'
    )
    environment = {key: os.environ[key] for key in ("HOME", "PATH") if key in os.environ}
    run = subprocess.run(
        [shell, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [
        str(ROOT / ".venv/bin/python"),
        str(ROOT / "install/panoptic_ros/lib/panoptic_ros/panoptic_node"),
    ]


@pytest.mark.parametrize("chosen", [{}, {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}])
def test_env_sh_chooses_transports_as_the_package_does(chosen):
    """But for the file's place: the installed one."""
    if not (ROOT / ".venv" / ".ros").is_file():
        pytest.skip("this tree was not set up by make setup")
    environment = {key: os.environ[key] for key in ("HOME", "PATH") if key in os.environ} | chosen
    run = subprocess.run(
        ["bash", "-c", f"source '{ROOT}/env.sh' && env"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.split("=", 1) for line in run.stdout.splitlines() if "=" in line)
    there = {name: Path(found[name]) for name in CHOICES if name in found}
    without = {name: value for name, value in found.items() if name not in CHOICES} | chosen
    wanted = large_image_settings(without) or chosen
    assert set(there) == set(wanted)
    if not chosen:
        [installed] = there.values()
        assert installed.read_bytes() == profiles_file().read_bytes()


def test_env_sh_says_what_to_do_before_the_setup(tmp_path):
    shutil.copy(ROOT / "env.sh", tmp_path)
    run = subprocess.run(
        ["bash", "-c", "source ./env.sh"], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert run.stderr.strip() == f"panoptic_ros is not set up yet. Run: make -C '{tmp_path}' setup"


def test_a_second_setup_has_nothing_to_do():
    environment = setup_environment.Environment(ROOT)
    if not (environment.is_complete() and setup_environment._is_built(environment)):
        pytest.skip("this tree is not set up, or has changed since: make setup")
    run = subprocess.run(
        [sys.executable, "-m", "tools.setup_environment"], cwd=ROOT, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (0, "panoptic_ros is set up: nothing to do.\n")


DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_files_that_are_there(document):
    text = document.read_text()
    links = re.findall(r"\]\(([^)#:]+)[^):]*\)", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    paths = re.findall(r"`((?:panoptic_ros|test|config|benchmarks|msg)/[a-z0-9_/.]+)`", text)
    assert missing + [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_examples_in_python_run(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    road = np.full((64, 128), 7, np.uint16)
    given = {"image": np.zeros((64, 128, 3), np.uint8), "truth": road, "prediction": road}
    # Whole programs: fragments and steps of a list do not begin with an import.
    programs = re.findall(
        r"^```python\n((?:from|import) .*?)^```", document.read_text(), re.M | re.S
    )
    for code in programs:
        exec(code, {**given, "results": {}, "frames": []})
