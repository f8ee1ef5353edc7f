"""What docs/nav2.md and config/nav2_costmap.yaml tell Nav2 agrees with what the node publishes."""

import math
import re
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from panoptic_ros.grid.semantic_grid import SemanticGridOptions
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.output_messages import GRID_OUTPUTS, LATCHED_OUTPUTS, OUTPUT_KINDS
from panoptic_ros.ros.parameters import GroundParameters

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def costmap():
    content = yaml.safe_load((ROOT / "config" / "nav2_costmap.yaml").read_text())
    return content["local_costmap"]["local_costmap"]["ros__parameters"]


def test_nav2_subscribes_to_a_grid_of_the_node(costmap):
    layer = costmap["panoptic_layer"]
    assert layer["map_topic"].removeprefix("/panoptic/") in GRID_OUTPUTS
    assert layer["map_subscribe_transient_local"] is True
    assert costmap["robot_base_frame"] == GroundParameters().base_frame
    assert costmap["resolution"] == GroundParameters().window.resolution


def test_what_the_grid_is_sure_of_is_lethal_and_a_single_glimpse_too(costmap):
    options = SemanticGridOptions()
    surest = 1 / (1 + math.exp(-options.max_log_odds))
    # Nav2 has a meaning of its own for 99.
    assert costmap["lethal_cost_threshold"] < round(100 * surest) < 99
    assert costmap["lethal_cost_threshold"] <= 100 * options.hit_probability


def test_the_documentation_shows_the_file(costmap):
    section = (ROOT / "docs" / "nav2.md").read_text()
    shown = yaml.safe_load(re.search(r"```yaml\n(.*?)```", section, re.DOTALL)[1])
    layer = shown.pop("panoptic_layer")
    assert shown.items() <= costmap.items()
    assert layer.items() <= costmap["panoptic_layer"].items()


@pytest.fixture(scope="module")
def semantic_layer():
    content = yaml.safe_load((ROOT / "config" / "nav2_semantic_layer.yaml").read_text())
    costmap = content["local_costmap"]["local_costmap"]["ros__parameters"]
    assert costmap["robot_base_frame"] == GroundParameters().base_frame
    assert set(costmap["plugins"]) <= costmap.keys()
    return costmap["semantic_layer"]["camera"]


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        ("segmentation_topic", "sensor_msgs/msg/Image"),
        ("confidence_topic", "sensor_msgs/msg/Image"),
        ("labels_topic", "vision_msgs/msg/LabelInfo"),
    ],
)
def test_the_semantic_layer_reads_outputs_of_the_node(semantic_layer, topic, kind):
    name = semantic_layer[topic].removeprefix("/panoptic/")
    assert OUTPUT_KINDS[name] == kind
    assert (name in LATCHED_OUTPUTS) == (topic == "labels_topic")


def test_the_semantic_layer_knows_each_class_once(semantic_layer):
    kinds = [semantic_layer[name] for name in semantic_layer["class_types"]]
    names = [name for kind in kinds for name in kind["classes"]]
    assert sorted(names) == sorted(CITYSCAPES.by_name)
    assert all(0 <= kind["base_cost"] <= kind["max_cost"] <= 254 for kind in kinds)
    assert all(0 <= kind["mark_confidence"] <= 255 for kind in kinds)
