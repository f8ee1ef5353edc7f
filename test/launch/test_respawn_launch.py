"""A node that is killed comes back by itself, with its parameters: `respawn:=true`."""

import os
import signal
import unittest
from pathlib import Path

import pytest

launch_testing = pytest.importorskip("launch_testing", reason="needs ROS 2's launch_testing")
pytest.importorskip("launch_ros", reason="needs ROS 2's launch_ros")

from launch_testing.asserts import assertExitCodes
from launched import launched
from node_process import Client, random_pixels
from sensor_msgs.msg import Image
from waiting import wait_for


@pytest.mark.launch_test
def generate_test_description():
    arguments = {"weights": "random", "device": "cpu", "respawn": "true"}
    return launched("camera.launch.py", arguments)


def children():
    """Return the processes that the launch, which this process runs, has started."""
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for each in lists for pid in each.read_text().split()}


class TestWhileItRuns(unittest.TestCase):
    def test_a_node_that_is_killed_comes_back_active(self):
        client = Client()
        try:
            labels = client.subscribe("~/labels", Image)
            client.answer(labels, random_pixels())
            [first] = children()
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: children() - {first}, "the second process")
            client.answer(labels, random_pixels())
            assert client.get("weights") == "random"
        finally:
            client.close()


@launch_testing.post_shutdown_test()
class TestAfterItsEnd(unittest.TestCase):
    def test_the_second_one_ends_with_exit_code_zero(self, proc_info):
        assertExitCodes(proc_info)
