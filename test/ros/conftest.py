"""Fixtures of the node's tests: a DDS domain of our own, model files, processes, a client."""

import os

import pytest
from fakes import installed_or_fake
from model_file import write_untrained
from own_domain import take_domain

from panoptic_ros.transports import CHOICES, large_image_settings


@pytest.fixture(scope="session", autouse=True)
def domain():
    """Keep a domain id that no other test run on this machine has, for all processes."""
    pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
    with pytest.MonkeyPatch.context() as patch:
        for name in CHOICES:
            patch.delenv(name, raising=False)
        for name, value in large_image_settings(os.environ).items():
            patch.setenv(name, value)
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
        patch.delenv("ROS_LOCALHOST_ONLY", raising=False)
        domain, lock = take_domain()
        with lock:
            patch.setenv("ROS_DOMAIN_ID", str(domain))
            yield domain


@pytest.fixture(scope="module")
def tf2(domain):
    """Return tf2_ros, for this process and those that it starts: a fake where there is none."""
    with installed_or_fake("tf2", "tf2_ros") as module:
        yield module


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    """Return a function that writes a random model for images of a short side."""
    folder = tmp_path_factory.mktemp("models")

    def write(short_side):
        file = folder / f"random_{short_side}.yaml"
        return str(write_untrained(file, short_side, score_threshold=0.0, stuff_area_limit=0))

    return write


@pytest.fixture(scope="session")
def tiny_model(model_file):
    return model_file(64)


@pytest.fixture(scope="session")
def slow_model(model_file):
    """Return a model whose inference takes long on any CPU."""
    return model_file(256)


@pytest.fixture(scope="module")
def start_node(domain, tmp_path_factory):
    """Return a function that starts the node as a process; all are ended in the end."""
    from node_process import NodeProcess

    processes = []

    def start(**parameters):
        processes.append(NodeProcess(tmp_path_factory.mktemp("node"), **parameters))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


@pytest.fixture(scope="module")
def client(domain, request):
    """Return a client; a module whose messages all have to arrive sets RELIABLE."""
    from node_process import Client

    client = Client(reliable=getattr(request.module, "RELIABLE", False))
    yield client
    client.close()
