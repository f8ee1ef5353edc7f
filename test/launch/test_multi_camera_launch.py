"""Two cameras as their users run them: `ros2 launch panoptic_ros multi_camera.launch.py ...`."""

import unittest

import pytest

launch_testing = pytest.importorskip("launch_testing", reason="needs ROS 2's launch_testing")
pytest.importorskip("launch_ros", reason="needs ROS 2's launch_ros")

from launch_testing.asserts import assertExitCodes
from launched import launched
from node_process import Client, image_message, random_pixels, seconds
from sensor_msgs.msg import Image


@pytest.mark.launch_test
def generate_test_description():
    arguments = {
        "cameras": "left, right",
        "image": "/{camera}/pictures",
        "weights": "random",
        "device": "cpu",
    }
    return launched("multi_camera.launch.py", arguments)


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
