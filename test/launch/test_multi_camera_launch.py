"""Two cameras as their users run them: `ros2 launch panoptic_ros multi_camera.launch.py ...`."""

import os
import unittest

import pytest

launch_testing = pytest.importorskip("launch_testing", reason="needs ROS 2's launch_testing")
pytest.importorskip("launch_ros", reason="needs ROS 2's launch_ros")

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes
from node_process import Client, image_message, random_pixels, seconds
from sensor_msgs.msg import Image

# Of this test run, so that nobody else's nodes answer.
DOMAIN = os.getpid() % 100 + 1


@pytest.mark.launch_test
def generate_test_description():
    launch_file = PathJoinSubstitution(
        [FindPackageShare("panoptic_ros"), "launch", "multi_camera.launch.py"]
    )
    arguments = {
        "cameras": "left, right",
        "image": "/{camera}/pictures",
        "weights": "random",
        "device": "cpu",
    }
    return LaunchDescription(
        [
            SetEnvironmentVariable("ROS_DOMAIN_ID", str(DOMAIN)),
            SetEnvironmentVariable("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(launch_file), launch_arguments=arguments.items()
            ),
            ReadyToTest(),
        ]
    )


class TestWhileItRuns(unittest.TestCase):
    def test_each_camera_has_labels(self):
        client = Client()
        try:
            for name in ("left", "right"):
                labels = client.subscribe(f"~/{name}/labels", Image)
                camera = client.node.create_publisher(Image, f"/{name}/pictures", 5)

                def send(camera=camera):
                    message = image_message(random_pixels())
                    camera.publish(message)
                    return seconds(message.header.stamp)

                client.answered(labels, send)
        finally:
            client.close()


@launch_testing.post_shutdown_test()
class TestAfterItsEnd(unittest.TestCase):
    def test_the_node_ends_with_exit_code_zero(self, proc_info):
        assertExitCodes(proc_info)
