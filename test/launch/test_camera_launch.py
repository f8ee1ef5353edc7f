"""The launch file as its users run it: `ros2 launch panoptic_ros camera.launch.py ...`."""

import os
import tempfile
import time
import unittest
from array import array
from pathlib import Path

import pytest
from waiting import TIMEOUT

launch_testing = pytest.importorskip("launch_testing", reason="needs ROS 2's launch_testing")
pytest.importorskip("launch_ros", reason="needs ROS 2's launch_ros")

import rclpy
from launch.actions import UnsetEnvironmentVariable
from launch_testing.asserts import assertExitCodes
from launched import DOMAIN, launched
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from panoptic_ros.transports import CHOICES, profiles_file, profiles_variable

HEIGHT, WIDTH = 48, 64
SCRATCH = tempfile.TemporaryDirectory(prefix="panoptic_launch_")

# All of it is wrong: what stands on the launch line must win.
PARAMETERS = """
panoptic:
  ros__parameters:
    weights: no_such_model
    image_transport: compressed
"""


@pytest.mark.launch_test
def generate_test_description():
    parameters = Path(SCRATCH.name) / "camera.yaml"
    parameters.write_text(PARAMETERS)
    arguments = {
        "image": "/front/image_raw",
        "weights": "random",
        "image_transport": "raw",
        "device": "cpu",
        "params_file": str(parameters),
    }
    unset = [UnsetEnvironmentVariable(name) for name in CHOICES]
    return launched("camera.launch.py", arguments, *unset)


class TestWhileItRuns(unittest.TestCase):
    def setUp(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = rclpy.create_node("camera", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def tearDown(self):
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def test_a_frame_comes_back_as_labels_with_its_stamp(self):
        labels = []
        self.node.create_subscription(
            Image, "/panoptic/labels", labels.append, qos_profile_sensor_data
        )
        camera = self.node.create_publisher(Image, "/front/image_raw", qos_profile_sensor_data)
        sent = set()
        end = time.monotonic() + TIMEOUT
        while not labels and time.monotonic() < end:
            image = self._frame()
            sent.add((image.header.stamp.sec, image.header.stamp.nanosec))
            camera.publish(image)
            self.executor.spin_once(timeout_sec=0.2)
        assert labels, f"no labels within {TIMEOUT} s"
        stamp = labels[0].header.stamp
        assert (stamp.sec, stamp.nanosec) in sent
        assert labels[0].header.frame_id == "front_optical"
        assert (labels[0].height, labels[0].width) == (HEIGHT, WIDTH)
        assert labels[0].encoding == "16UC1"

    def test_the_transport_for_large_images_is_chosen(self):
        assert os.environ[profiles_variable(os.environ)] == str(profiles_file())

    def _frame(self):
        image = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH)
        image.header.stamp = self.node.get_clock().now().to_msg()
        image.header.frame_id = "front_optical"
        image.data = array("B", bytes(image.step * HEIGHT))
        return image


@launch_testing.post_shutdown_test()
class TestAfterItsEnd(unittest.TestCase):
    def test_the_node_ends_with_exit_code_zero(self, proc_info):
        assertExitCodes(proc_info)
