"""What docs/nav2.md and config/nav2_costmap.yaml tell Nav2 agrees with what the node publishes."""

import math
import re
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from panoptic_ros.grid.semantic_grid import SemanticGridOptions
from panoptic_ros.output_messages import GRID_OUTPUTS
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
