import subprocess
import sys
from dataclasses import fields, replace

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy
from rclpy.context import Context
from rclpy.parameter import Parameter

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.grid.grid_options import ProjectionOptions
from panoptic_ros.grid.semantic_grid import SemanticGridOptions
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.resources import share_dir
from panoptic_ros.ros import parameters
from panoptic_ros.ros.parameter_spec import declare, leaves, updated
from panoptic_ros.ros.parameters import (
    THRESHOLDS,
    OutputParameters,
    Parameters,
    QosParameters,
)
from panoptic_ros.tracking.tracking_options import TrackingOptions


@pytest.fixture
def make_node(domain):
    context = Context()
    rclpy.init(context=context)

    def make(**values):
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        return rclpy.create_node("test", context=context, parameter_overrides=overrides)

    yield make
    rclpy.shutdown(context=context)


def flat(mapping, prefix=""):
    for name, value in mapping.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_the_parameters_file_is_what_the_program_prints():
    program = [sys.executable, "-m", "panoptic_ros.ros.parameters"]
    printed = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert (share_dir() / "config/camera.yaml").read_text() == printed
    assert max(map(len, printed.splitlines())) <= 100


def test_the_parameters_file_lists_every_parameter_with_its_default():
    content = yaml.safe_load((share_dir() / "config/camera.yaml").read_text())
    listed = dict(flat(content["/**"]["ros__parameters"]))
    declared = {leaf.name: leaf.value for leaf in leaves(Parameters())}
    declared["cameras"] = list(declared["cameras"])
    assert listed == declared
    assert {n: type(v) for n, v in listed.items()} == {n: type(v) for n, v in declared.items()}


def test_every_parameter_is_declared_with_a_description(make_node):
    node = make_node()
    assert declare(node, Parameters()) == Parameters()
    for leaf in leaves(Parameters()):
        value, descriptor = leaf.value, node.describe_parameter(leaf.name)
        assert descriptor.description.endswith(".")
        numbers = len(descriptor.floating_point_range) + len(descriptor.integer_range)
        assert numbers == (type(value) in (int, float))
        if isinstance(value, str):
            assert descriptor.additional_constraints


def test_declared_values_come_from_the_launch(make_node):
    node = make_node(weights="random", stuff_area_limit=100, **{"qos.depth": 1})
    assert declare(node, Parameters()) == replace(
        Parameters(), weights="random", stuff_area_limit=100, qos=QosParameters(depth=1)
    )


def test_a_bad_value_from_the_launch_is_an_error(make_node):
    with pytest.raises(ValueError, match="fusion is 'average'; it must be one of"):
        declare(make_node(fusion="average"), Parameters())


def test_a_change_touches_only_what_it_names():
    changed = updated(
        Parameters(), {"outputs.color": False, "score_threshold": 0.25, "use_sim_time": True}
    )
    assert changed == replace(
        Parameters(), score_threshold=0.25, outputs=OutputParameters(color=False)
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"score_threshold": 1.01}, "score_threshold"),
        ({"score_threshold": -0.01}, "or -1: the model's own"),
        ({"stuff_area_limit": -2}, "stuff_area_limit"),
        ({"mask_threshold": 0.0}, "mask_threshold"),
        ({"class_thresholds": "person"}, "class_thresholds is 'person'; it must be CLASS=SCORE"),
        ({"class_thresholds": "person=0.5, car=1.1"}, "each SCORE in 0..1"),
        ({"class_thresholds": "=0.5"}, "class_thresholds"),
        ({"classes": "car=0.5"}, "classes"),
        ({"qos.depth": 0}, "qos.depth"),
        ({"qos.reliability": "sometimes"}, "'best_effort', 'reliable'"),
        ({"image_transport": "theora"}, "'raw', 'compressed'"),
        ({"device": "cuda:"}, "cuda:N"),
        ({"weights": " "}, "a name or a path"),
        ({"ground.base_frame": "/base_link"}, "without a leading slash"),
        ({"ground.window.resolution": 0.7}, "whole number of cells"),
        ({"ground.window.length": -1.0}, "ground.window.length"),
        ({"ground.costs.person": 101}, "ground.costs.person"),
        ({"ground.grid.hit_probability": 0.5}, "ground.grid.hit_probability"),
        ({"ground.ego_motion": "gps"}, "'odometry', 'tf', 'none'"),
        ({"stall_timeout": 0.0}, "stall_timeout is 0.0; it must be in 0.5..600"),
        ({"ground.window.resolution": 0.02}, "at most 2048 fit in memory"),
        (
            {"ground.grid.min_log_odds": 1.0, "ground.grid.max_log_odds": 1.0},
            "min_log_odds 1.0 must be less than max_log_odds 1.0",
        ),
        ({"ground.base_frame": "odom"}, "ground.odom_frame are both 'odom'"),
        ({"ground.timeout": float("nan")}, "ground.timeout is nan"),
        ({"ground.camera.x": float("inf")}, "ground.camera.x is inf"),
    ],
)
def test_impossible_values(changes, words):
    with pytest.raises(ValueError, match=words):
        updated(Parameters(), changes)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("score_threshold", 0.5, ("unconfigured", "inactive", "active", "configuring")),
        ("outputs.labels", False, ("unconfigured", "inactive", "active", "configuring")),
        ("stall_timeout", 1.0, ("unconfigured", "inactive", "active", "configuring")),
        ("ground.window.length", 30.0, ("unconfigured", "inactive")),
        ("ground.costs.road", 1, ("unconfigured", "inactive")),
        ("qos.depth", 1, ("unconfigured", "inactive")),
        ("ground.timeout", 0.5, ("unconfigured", "inactive")),
        ("image_transport", "compressed", ("unconfigured", "inactive")),
        ("weights", "random", ("unconfigured", "inactive", "active", "configuring")),
        ("max_rate", 5.0, ("unconfigured", "inactive", "active", "configuring")),
        ("device", "cpu", ("unconfigured",)),
        ("autostart", False, ()),
    ],
)
@pytest.mark.parametrize("state", ["unconfigured", "inactive", "active", "configuring"])
def test_states_in_which_a_parameter_can_change(name, value, allowed, state):
    if state in allowed:
        assert updated(Parameters(), {name: value}, state) != Parameters()
    else:
        with pytest.raises(ValueError, match=f"{name} cannot change while {state}: "):
            updated(Parameters(), {name: value}, state)


def test_setting_the_value_that_is_there_is_always_possible():
    assert updated(Parameters(), {"device": "auto"}, "active") == Parameters()


def test_every_threshold_of_the_merge_is_a_parameter():
    numbers = {e.name for e in fields(FusionOptions) if isinstance(e.default, (int, float))}
    assert set(THRESHOLDS) == numbers
    assert numbers <= {leaf.name for leaf in leaves(Parameters())}


def test_thresholds_replace_the_models():
    model = FusionOptions(score_threshold=0.3, stuff_area_limit=7, class_limits={24: 5})
    assert Parameters().fusion_options(model) == model
    chosen = Parameters(score_threshold=0.0, stuff_area_limit=0)
    assert chosen.fusion_options(model) == replace(model, score_threshold=0.0, stuff_area_limit=0)


def test_classes_replace_the_models():
    model = FusionOptions(class_thresholds={26: 0.1}, classes=(7,))
    assert Parameters().fusion_options(model, CITYSCAPES) == model
    chosen = Parameters(
        class_thresholds=" person = 0.25,traffic light=1", classes="traffic light , person"
    )
    with pytest.raises(ValueError, match="'traffic light', which is stuff"):
        chosen.fusion_options(model, CITYSCAPES)
    chosen = replace(chosen, class_thresholds="person = .25,car=1,bus=0.")
    found = chosen.fusion_options(model, CITYSCAPES)
    assert found.class_thresholds == {24: 0.25, 26: 1.0, 28: 0.0}
    assert found.classes == (19, 24)
    assert chosen.fusion_options(model) == model


def test_options_of_the_ground():
    chosen = updated(
        Parameters(),
        {
            "ground.costs.traffic_light": 7,
            "ground.window.resolution": 0.5,
            "ground.grid.static_half_life": 5.0,
            "ground.tracking.coast_time": 2.0,
            "ground.projection.hidden_rows": 9,
        },
    ).ground.options()
    assert chosen.grid.costs["traffic light"] == 7
    assert chosen.window.shape == (80, 120)
    assert chosen.grid.static_half_life == 5.0
    assert chosen.tracking.coast_time == 2.0
    assert chosen.projection.hidden_rows == 9


def test_the_defaults_are_those_of_the_parts():
    options = Parameters().ground.options()
    assert options.window == GridWindow()
    assert options.projection == ProjectionOptions()
    assert options.tracking == TrackingOptions()
    assert replace(options.grid, costs={}) == SemanticGridOptions()


@pytest.mark.parametrize(
    "changes",
    [
        {"ground.camera.source": "tf"},
        {"ground.ego_motion": "tf"},
        {"ground.level_frame": "base_stabilized"},
    ],
)
def test_tf_is_refused_where_it_is_not_installed(changes, monkeypatch):
    monkeypatch.setattr(parameters, "is_available", lambda: False)
    with pytest.raises(ValueError, match="tf2_ros, which is not installed"):
        updated(Parameters(), changes)
    monkeypatch.setattr(parameters, "is_available", lambda: True)
    assert updated(Parameters(), changes).ground.options() == Parameters().ground.options()
