"""What camera.launch.py makes of its arguments, without starting anything."""

import importlib.util
from pathlib import Path

import pytest

launch = pytest.importorskip("launch", reason="needs ROS 2's launch")
pytest.importorskip("launch_ros", reason="needs ROS 2's launch_ros")

from launch_ros.actions import Node

ROOT = Path(__file__).parents[2]


@pytest.fixture
def visited():
    """Return a function that gives the nodes which the launch file starts with some arguments."""
    spec = importlib.util.spec_from_file_location("camera_launch", ROOT / "launch/camera.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def visit(**arguments):
        context = launch.LaunchContext()
        given = {"params_file": str(ROOT / "config/camera.yaml"), **arguments}
        context.launch_configurations.update(given)
        context.extend_locals(
            {"ros_specific_arguments": {"name": "__node:=panoptic", "ns": "__ns:=/"}}
        )
        nodes = []
        for entity in module.generate_launch_description().entities:
            nodes += [n for n in entity.visit(context) or [] if isinstance(n, Node)]
        for node in nodes:
            node._perform_substitutions(context)
        return context, nodes

    return visit


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"params_file": "/nowhere/camera.yaml"}, "params_file:=/nowhere/camera.yaml: there is no"),
        ({"params_file": ""}, "params_file:=: there is no such file"),
        ({"params_file": "~/no_such.yaml"}, "params_file:=~/no_such.yaml: there is no"),
        ({"params_file": str(ROOT)}, "there is no such file"),
        ({"use_sim_time": "2"}, "use_sim_time:=2: it must be true or false"),
        ({"color": "maybe"}, "color:=maybe"),
        ({"respawn": "always"}, "respawn:=always"),
        ({"rviz": ""}, "rviz:=: it must be true or false"),
        ({"image": "/{camera}/image_raw"}, "image has {camera} in it: name the cameras"),
    ],
)
def test_what_cannot_be_is_named(visited, arguments, words):
    with pytest.raises(RuntimeError) as error:
        visited(**arguments)
    assert words in str(error.value)


@pytest.mark.parametrize("value", ["True", "1", "yes", "on", " true ", "FALSE", "0", "no"])
def test_booleans_are_taken_as_people_write_them(visited, value):
    context, [node] = visited(use_sim_time=value, respawn=value, rviz="no")
    files = [
        Path(text).read_text()
        for part in node.cmd
        if (text := launch.utilities.perform_substitutions(context, part)).startswith("/tmp/")
    ]
    says = value.strip().lower() in ("true", "1", "yes", "on")
    assert any(f"use_sim_time: {str(says).lower()}" in text for text in files)
