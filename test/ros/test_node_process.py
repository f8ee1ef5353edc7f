"""The node's process from start to end: states, errors at start, signals."""

import signal
import time

import pytest
import torch

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from diagnostic_msgs.msg import DiagnosticStatus
from node_process import Client, NodeProcess, random_pixels
from sensor_msgs.msg import Image

from panoptic_ros.ros.node import LEAVING_SECONDS

PIXELS = random_pixels()
# Of `ros2 launch`, from SIGINT on.
SECONDS_TO_SIGKILL = 10


def assert_clean_end(node, number):
    # Not 0 where something hangs: the node then ends itself by force.
    assert node.end(number) == 0, node.output()
    assert "Traceback" not in node.output()


@pytest.fixture
def start_node(start_node):
    """End each test's processes, also where it fails: the next must not meet them."""
    processes = []

    def start(**parameters):
        processes.append(start_node(**parameters))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


@pytest.fixture
def client(domain):
    """Give each process a client that has not met another."""
    client = Client()
    yield client
    client.close()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_that_is_missing_is_told_once_and_can_be_corrected(start_node, client, tiny_model):
    node = start_node(weights=tiny_model, device="cuda")
    node.wait_for_line("cannot configure")
    for _ in range(3):
        level, message, health = client.health()
        assert (level, health["state"]) == (DiagnosticStatus.ERROR, "unconfigured")
        assert "choose device cpu" in message
    assert len(node.lines("ERROR")) == 1
    assert "Traceback" not in node.output()
    assert client.set("device", "cpu") == (True, "")
    assert client.transition("configure")
    assert client.transition("activate")
    client.wait_until_heard()
    client.answer(client.subscribe("~/labels", Image), PIXELS)
    assert client.health()[0] == DiagnosticStatus.OK
    assert_clean_end(node, signal.SIGINT)


def test_without_autostart_the_node_waits_and_says_so(start_node, client, tiny_model):
    node = start_node(weights=tiny_model, device="cpu", autostart="false")
    start = time.monotonic()
    assert client.state() == "unconfigured"
    for _ in range(3):
        level, message, health = client.health()
        assert (level, message) == (DiagnosticStatus.OK, "unconfigured")
        assert health["state"] == "unconfigured"
    # One a second.
    assert time.monotonic() - start > 1
    assert client.set("weights", "nowhere")[0]
    assert not client.transition("configure")
    assert "there is no model 'nowhere'" in client.health()[1]
    assert_clean_end(node, signal.SIGTERM)


def test_legal_transitions_in_any_order_and_no_others(start_node, client, tiny_model):
    node = start_node(weights=tiny_model, device="cpu", autostart="false")
    labels = client.subscribe("~/labels", Image)
    # transition, whether it is legal, state after it
    walk = [
        ("activate", False, "unconfigured"),
        ("cleanup", False, "unconfigured"),
        ("configure", True, "inactive"),
        ("configure", False, "inactive"),
        ("deactivate", False, "inactive"),
        ("cleanup", True, "unconfigured"),
        ("configure", True, "inactive"),
        ("activate", True, "active"),
        ("cleanup", False, "active"),
        ("deactivate", True, "inactive"),
        ("activate", True, "active"),
    ]
    for transition, legal, state in walk:
        assert client.transition(transition) == legal
        assert client.state() == state
    client.wait_until_heard()
    client.answer(labels, PIXELS)
    assert client.transition("deactivate")
    assert client.camera_is_alone()
    assert client.wait_for_health(lambda *h: h[2]["state"] == "inactive")[0] == DiagnosticStatus.OK
    assert client.transition("shutdown")
    assert client.state() == "finalized"
    assert client.wait_for_health(lambda *h: h[2]["state"] == "finalized")
    assert_clean_end(node, signal.SIGINT)


def test_silence_is_told(start_node, client, tiny_model):
    node = start_node(weights=tiny_model, device="cpu")
    level, message, _ = client.wait_for_health(lambda level, message, _: "no image" in message)
    assert level == DiagnosticStatus.WARN
    assert "/image" in message
    assert_clean_end(node, signal.SIGINT)


def test_a_signal_while_torch_is_imported(start_node, tiny_model):
    node = start_node(weights=tiny_model)
    # rclpy and torch are not there before some hundred milliseconds.
    node.wait_until_mapped("libtorch")
    assert_clean_end(node, signal.SIGINT)


def test_a_signal_while_the_model_loads(start_node, client, slow_model):
    node = start_node(weights=slow_model, device="cpu", autostart="false")
    client.health()
    client.begin_transition("configure")
    assert_clean_end(node, signal.SIGTERM)


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        ({"score_threshold": 7.0}, "score_threshold"),
        ({"device": "gpu"}, "auto, cpu, cuda or cuda:N"),
    ],
)
def test_a_bad_parameter_at_start_ends_in_one_line(start_node, parameter, reason):
    node = start_node(**parameter)
    assert node.wait() == 1
    [line] = node.output().splitlines()
    assert "cannot start" in line
    assert reason in line


# As Fast DDS does while it closes TCP to a participant that was killed: with Python's lock held.
NEVER_LEAVES = """
import ctypes, rclpy
from panoptic_ros.ros import node
rclpy.try_shutdown = lambda: ctypes.PyDLL(None).sleep(600)
node.main()
"""


def test_a_node_that_cannot_leave_ends_before_a_launch_kills_it(client, tmp_path):
    assert LEAVING_SECONDS < SECONDS_TO_SIGKILL
    node = NodeProcess(tmp_path, program=("-c", NEVER_LEAVES), autostart="false")
    try:
        client.health()
        assert node.end(signal.SIGINT) == 1
        assert node.lines("Timeout")
    finally:
        node.kill()
