from dataclasses import replace

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy
from rclpy.context import Context
from rclpy.parameter import Parameter

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.resources import share_dir
from panoptic_ros.ros.parameters import (
    OutputParameters,
    Parameters,
    QosParameters,
    declare,
    leaves,
    updated,
)


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


def test_the_parameters_file_lists_every_parameter_with_its_default():
    content = yaml.safe_load((share_dir() / "config/camera.yaml").read_text())
    listed = dict(flat(content["/**"]["ros__parameters"]))
    declared = {name: value for name, value, _ in leaves(Parameters())}
    assert listed == declared
    assert {n: type(v) for n, v in listed.items()} == {n: type(v) for n, v in declared.items()}


def test_every_parameter_is_declared_with_a_description(make_node):
    node = make_node()
    assert declare(node) == Parameters()
    for name, value, _ in leaves(Parameters()):
        descriptor = node.describe_parameter(name)
        assert descriptor.description.endswith(".")
        numbers = len(descriptor.floating_point_range) + len(descriptor.integer_range)
        assert numbers == (type(value) in (int, float))
        if isinstance(value, str):
            assert descriptor.additional_constraints


def test_declared_values_come_from_the_launch(make_node):
    node = make_node(weights="random", stuff_area_limit=100, **{"qos.depth": 1})
    assert declare(node) == replace(
        Parameters(), weights="random", stuff_area_limit=100, qos=QosParameters(depth=1)
    )


def test_a_bad_value_from_the_launch_is_an_error(make_node):
    with pytest.raises(ValueError, match="fusion is 'average'; it must be one of"):
        declare(make_node(fusion="average"))


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
        ({"qos.depth": 0}, "qos.depth"),
        ({"qos.reliability": "sometimes"}, "'best_effort', 'reliable'"),
        ({"image_transport": "theora"}, "'raw', 'compressed'"),
        ({"device": "cuda:"}, "cuda:N"),
        ({"weights": " "}, "a name or a path"),
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
        ("qos.depth", 1, ("unconfigured", "inactive")),
        ("image_transport", "compressed", ("unconfigured", "inactive")),
        ("weights", "random", ("unconfigured",)),
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
    assert updated(Parameters(), {"weights": "town"}, "active") == Parameters()


def test_thresholds_replace_the_models():
    model = FusionOptions(score_threshold=0.3, stuff_area_limit=7, class_limits={24: 5})
    assert Parameters().fusion_options(model) == model
    chosen = Parameters(score_threshold=0.0, stuff_area_limit=0)
    assert chosen.fusion_options(model) == replace(model, score_threshold=0.0, stuff_area_limit=0)
