"""What a node does while another model loads; in the test's process, to look at its memory."""

import gc
import threading
import weakref

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy
from node_process import Client, random_pixels, wait_for
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from waiting import TIMEOUT

from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.ros.lifecycle import PanopticNode

PIXELS = random_pixels()


@pytest.fixture
def node(domain, tiny_model):
    context, ended = Context(), threading.Event()
    rclpy.init(context=context)
    overrides = {"weights": tiny_model, "device": "cpu", "qos.reliability": "reliable"}
    node = PanopticNode(
        context=context,
        parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()],
    )
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin():
        while not ended.is_set():
            executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=spin)
    thread.start()
    yield node
    ended.set()
    thread.join(TIMEOUT)
    node.close(30)
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def client(node):
    yield from Client(reliable=True).while_heard()


class HeldLoading:
    """Let what the node loads from now on wait for `go_on`."""

    def __init__(self, patch):
        self.pipelines, self.go_on = weakref.WeakSet(), threading.Event()
        self.begun, self._load = threading.Event(), PanopticPipeline.load
        patch.setattr(PanopticPipeline, "load", self)

    def __call__(self, *args, **kwargs):
        self.begun.set()
        assert self.go_on.wait(TIMEOUT)
        pipeline = self._load(*args, **kwargs)
        self.pipelines.add(pipeline)
        return pipeline


@pytest.fixture
def held(client, monkeypatch):
    return HeldLoading(monkeypatch)


@pytest.fixture
def load_model(client):
    """Return a function that calls the service and returns the future of its answer."""
    service = client.node.create_client(Trigger, "/panoptic/load_model")
    assert service.wait_for_service(TIMEOUT)
    return lambda: service.call_async(Trigger.Request())


def test_frames_are_answered_while_a_model_loads_and_the_old_one_is_freed(
    node, client, held, load_model
):
    labels = client.subscribe("~/labels", Image)
    wait_for(lambda: client.publish(PIXELS) and labels, "labels")
    held.pipelines.add(node.session.pipeline)
    first = load_model()
    wait_for(held.begun.is_set, "a model that loads")

    client.answer_to(labels, client.publish(PIXELS))
    assert client.set("score_threshold", 0.5) == (True, "")
    second = load_model()
    wait_for(second.done, "the second call's answer")
    assert not second.result().success
    assert second.result().message == "a model is being loaded: wait until it is"
    assert not first.done()

    held.go_on.set()
    wait_for(first.done, "the first call's answer")
    assert first.result().success, first.result().message
    # What was set while it loaded counts for the new model.
    assert node.session.pipeline.options.score_threshold == 0.5
    client.answer_to(labels, client.publish(PIXELS))
    wait_for(lambda: gc.collect() >= 0 and len(held.pipelines) == 1, "the old model's end")


def test_a_model_that_comes_after_cleanup_is_let_go(node, client, held, load_model):
    answer = load_model()
    wait_for(held.begun.is_set, "a model that loads")
    assert client.transition("deactivate")
    assert client.transition("cleanup")
    assert client.set("weights", "coco") == (True, "")
    held.go_on.set()
    wait_for(answer.done, "the answer")
    assert "cleaned up meanwhile" in answer.result().message
    # What the next configuration is to load.
    assert node.get_parameter("weights").value == "coco"
    assert node.session is None
    wait_for(lambda: gc.collect() >= 0 and not held.pipelines, "the new model's end")
