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


def test_frames_are_answered_while_a_model_loads_and_the_old_one_is_freed(
    node, monkeypatch, tiny_model
):
    client, pipelines = Client(reliable=True), weakref.WeakSet()
    loading, go_on, load = threading.Event(), threading.Event(), PanopticPipeline.load

    def held(*args, **kwargs):
        loading.set()
        assert go_on.wait(TIMEOUT)
        pipelines.add(pipeline := load(*args, **kwargs))
        return pipeline

    labels = client.subscribe("~/labels", Image)
    client.wait_until_heard()
    wait_for(lambda: client.publish(PIXELS) and labels, "labels")
    pipelines.add(node.session.pipeline)
    monkeypatch.setattr(PanopticPipeline, "load", held)
    service = client.node.create_client(Trigger, "/panoptic/load_model")
    assert service.wait_for_service(TIMEOUT)
    first = service.call_async(Trigger.Request())
    wait_for(loading.is_set, "a model that loads")

    client.answer_to(labels, client.publish(PIXELS))
    assert client.set("score_threshold", 0.5) == (True, "")
    second = service.call_async(Trigger.Request())
    wait_for(second.done, "the second call's answer")
    assert (second.result().success, second.result().message) == (
        False,
        "a model is being loaded: wait until it is",
    )
    assert not first.done()

    go_on.set()
    wait_for(first.done, "the first call's answer")
    assert first.result().success, first.result().message
    # What was set while it loaded counts for the new model.
    assert node.session.pipeline.options.score_threshold == 0.5
    client.answer_to(labels, client.publish(PIXELS))
    wait_for(lambda: gc.collect() >= 0 and len(pipelines) == 1, "the old model's end")
    client.close()


def test_a_model_that_comes_after_cleanup_is_let_go(node, monkeypatch):
    client = Client(reliable=True)
    loading, go_on, load = threading.Event(), threading.Event(), PanopticPipeline.load

    def held(*args, **kwargs):
        loading.set()
        assert go_on.wait(TIMEOUT)
        return load(*args, **kwargs)

    client.wait_until_heard()
    monkeypatch.setattr(PanopticPipeline, "load", held)
    service = client.node.create_client(Trigger, "/panoptic/load_model")
    assert service.wait_for_service(TIMEOUT)
    answer = service.call_async(Trigger.Request())
    wait_for(loading.is_set, "a model that loads")
    assert client.transition("deactivate")
    assert client.transition("cleanup")
    go_on.set()
    wait_for(answer.done, "the answer")
    assert "cleaned up meanwhile" in answer.result().message
    assert node.session is None
    client.close()
