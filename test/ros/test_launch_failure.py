"""A node that cannot start makes the launch fail, as `ros2 launch` is told in scripts."""

import shutil
import subprocess

import pytest
from waiting import TIMEOUT

LAUNCH = ("ros2", "launch", "panoptic_ros", "camera.launch.py")


@pytest.mark.skipif(shutil.which("ros2") is None, reason="needs ros2 launch (ros2cli)")
@pytest.mark.parametrize("argument", ["device:=gpu", "weights:= "])
def test_a_node_that_cannot_start_makes_the_launch_fail(argument):
    done = subprocess.run(
        [*LAUNCH, argument], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 1
    assert "panoptic_node ended with exit code 1" in done.stdout + done.stderr
