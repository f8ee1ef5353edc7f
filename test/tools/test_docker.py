"""What can be said of docker/ without a Docker daemon: CI builds it."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from panoptic_ros.transports import CHOICES

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docker").glob("*Dockerfile"))
# What builds package.xml's own dependencies, and is none of them.
TOOLS = {"ros-humble-ros-base"}
MAIN = ROOT / "docker" / "Dockerfile"
ENTRYPOINT = ROOT / "docker" / "entrypoint.sh"


def instructions(file):
    """Return a Dockerfile's instructions, each a word and the rest, comments and breaks removed."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [line.split(None, 1) for line in joined.splitlines() if line.strip()]


def of_kind(file, word):
    return [rest for kind, rest in instructions(file) if kind == word]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_base_has_a_tag_that_stays(file):
    arguments = dict(rest.split("=", 1) for rest in of_kind(file, "ARG"))
    (base,) = of_kind(file, "FROM")
    base = re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], base)
    assert re.fullmatch(r"[\w./-]+:[\w.-]+", base)
    assert not base.endswith(":latest")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_layer_installs_little_and_leaves_no_list(file):
    depends = {e.text for e in ElementTree.parse(ROOT / "package.xml").getroot()}
    installs = [rest for rest in of_kind(file, "RUN") if "apt-get install" in rest]
    assert installs
    for command in installs:
        assert command.index("apt-get update") < command.index("apt-get install")
        assert "rm -rf /var/lib/apt/lists/*" in command
        for part in re.findall(r"apt-get install ([^&]*)", command):
            words = shlex.split(part)
            assert {"-y", "--no-install-recommends"} <= set(words)
            ros = {word for word in words if word.startswith("ros-")} - TOOLS
            assert {name.split("-", 2)[2].replace("-", "_") for name in ros} <= depends
    for command in of_kind(file, "RUN"):
        for part in re.findall(r"pip install ([^&]*)", command):
            assert "--no-cache-dir" in part


def test_it_ends_as_a_user_with_few_rights():
    assert of_kind(MAIN, "USER")[-1] != "root"
    words = [kind for kind, _ in instructions(MAIN)]
    assert words.index("USER") > max(i for i, word in enumerate(words) if word == "RUN")


def test_it_is_stopped_by_the_signal_that_ros2_launch_passes_on():
    assert of_kind(MAIN, "STOPSIGNAL") == ["SIGINT"]


def test_what_is_copied_is_there_and_sent_to_the_daemon():
    sent = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert sent[1] == "*"
    sources = [source for rest in of_kind(MAIN, "COPY") for source in rest.split()[:-1]]
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in sent
    assert {line[1:] for line in sent if line.startswith("!")} == set(sources)
    for name in re.findall(r"requirements/[\w.]+", MAIN.read_text()):
        assert (ROOT / name).is_file()


def test_all_that_cmake_installs_is_copied():
    (folders,) = re.findall(r"install\(DIRECTORY ([\w ]+) DESTINATION", _cmake())
    copied = {rest.split()[0] for rest in of_kind(MAIN, "COPY")}
    assert set(folders.split()) | {"msg", "srv", "scripts", "panoptic_ros"} <= copied


def test_the_entrypoint_can_be_run():
    (entrypoint,) = of_kind(MAIN, "ENTRYPOINT")
    target = yaml.safe_load(entrypoint)[0]
    (source,) = [rest.split()[0] for rest in of_kind(MAIN, "COPY") if rest.endswith(target)]
    assert (ROOT / source).stat().st_mode & 0o111
    workspace = of_kind(MAIN, "WORKDIR")[0]
    assert f"source {workspace}/install/setup.bash" in (ROOT / source).read_text()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"ROS_DISTRO": "humble"}, "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ({"ROS_DISTRO": "jazzy"}, "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ({"ROS_DISTRO": "kilted"}, "FASTDDS_DEFAULT_PROFILES_FILE"),
        ({"ROS_DISTRO": "kilted", "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}, None),
    ],
)
def test_what_the_entrypoint_starts_has_shared_memory_for_large_images(tmp_path, given, name):
    (workspace,) = set(re.findall(r"/opt/\w+", ENTRYPOINT.read_text()))
    script = tmp_path / "entrypoint.sh"
    script.write_text(ENTRYPOINT.read_text().replace(workspace, str(tmp_path)))
    (tmp_path / "install").mkdir()
    (tmp_path / "install" / "setup.bash").touch()
    run = subprocess.run(
        ["bash", script, "env"],
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.split("=", 1) for line in run.stdout.splitlines())
    file = f"{tmp_path}/install/panoptic_ros/share/panoptic_ros/config/fastdds.xml"
    chosen = {key: value for key, value in found.items() if key in CHOICES}
    assert chosen == ({name: file} if name else {k: given[k] for k in CHOICES if k in given})


def test_ci_builds_every_distribution_for_both_devices():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    matrix = jobs["docker"]["strategy"]["matrix"]
    assert matrix["distro"] == ["humble", "jazzy", "kilted"]
    assert matrix["device"] == ["cpu", "cuda"]
    text = MAIN.read_text()
    assert all(f"ros:{distro}-ros-base" in text for distro in matrix["distro"])
    (build,) = [step["run"] for step in jobs["docker"]["steps"] if step.get("name") == "Build"]
    given = set(re.findall(r"--build-arg (\w+)=", build))
    assert given == {rest.split("=")[0] for rest in of_kind(MAIN, "ARG")}


def _cmake():
    return (ROOT / "CMakeLists.txt").read_text()
