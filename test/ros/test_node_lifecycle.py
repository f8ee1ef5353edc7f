"""The node inside the test's process, where its memory can be looked into."""

import gc
import logging
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy
from node_process import Client, random_pixels, wait_for
from panoptic_ros.msg import PanopticInstances
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from waiting import TIMEOUT

from panoptic_ros import output_messages
from panoptic_ros.model import engines
from panoptic_ros.ros import session
from panoptic_ros.ros.lifecycle import PanopticNode

PIXELS = random_pixels()
CYCLES = 10
# What the allocators of torch and DDS may keep after the first cycles. The seven pipelines
# of the others would be more than 200 MB of weights.
GROWTH_BYTES = 60 << 20


class Host:
    """Run a node's callbacks whenever the test waits."""

    def __init__(self, **parameters):
        self.context = Context()
        rclpy.init(context=self.context)
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = PanopticNode(context=self.context, parameter_overrides=overrides)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def spin_until(self, condition, what):
        def spun():
            self._executor.spin_once(timeout_sec=0.01)
            return condition()

        return wait_for(spun, what)

    @property
    def camera(self):
        return self.node.session.cameras[0]

    def health(self):
        return self.camera.health.snapshot()

    def close(self):
        self.node.close(30)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def host(domain, tiny_model):
    host = Host(weights=tiny_model, device="cpu", autostart=False)
    yield host
    host.close()


@pytest.fixture
def client(host):
    client = Client()
    yield client
    client.close()


def resident_bytes():
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def entities(node):
    """Names of everything that a node has on the network, and of its threads."""
    return (
        sorted(publisher.topic_name for publisher in node.publishers),
        sorted(subscription.topic_name for subscription in node.subscriptions),
        sorted(thread.name for thread in threading.enumerate()),
    )


def test_ten_lives_leave_nothing_behind(host, client, monkeypatch):
    node, pipelines = host.node, weakref.WeakSet()
    load = session.PanopticPipeline.load

    def watched(*args, **kwargs):
        pipeline = load(*args, **kwargs)
        pipelines.add(pipeline)
        return pipeline

    monkeypatch.setattr(session.PanopticPipeline, "load", watched)
    labels = client.subscribe("~/labels", Image)
    before, resident = entities(node), []
    for _ in range(CYCLES):
        for transition in ("configure", "activate"):
            assert getattr(node, f"trigger_{transition}")() == TransitionCallbackReturn.SUCCESS
        assert len(pipelines) == 1
        labels.clear()
        host.spin_until(lambda: client.publish(PIXELS) and labels, "labels")
        for transition in ("deactivate", "cleanup"):
            assert getattr(node, f"trigger_{transition}")() == TransitionCallbackReturn.SUCCESS
        # A frame that is still in work goes with the cleanup's second half.
        wait_for(lambda: gc.collect() >= 0 and not pipelines, "the pipeline's end")
        assert entities(node) == before
        resident.append(resident_bytes())
    assert resident[-1] - resident[2] < GROWTH_BYTES


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        ("create_lifecycle_publisher", 3),
        # The second camera's, when the threads of the first one run.
        ("create_lifecycle_publisher", 20),
        ("create_subscription", 1),
        ("create_subscription", 4),
        ("create_subscription", 9),
    ],
)
def test_what_fails_half_way_leaves_nothing_behind(host, monkeypatch, function, calls):
    """As where two topics of different types are remapped to one."""
    node, pipelines, made = host.node, weakref.WeakSet(), []
    load, create = session.PanopticPipeline.load, getattr(node, function)

    def watched(*args, **kwargs):
        pipeline = load(*args, **kwargs)
        pipelines.add(pipeline)
        return pipeline

    def failing(*args, **kwargs):
        made.append(args)
        if len(made) == calls:
            raise RuntimeError("incompatible type")
        return create(*args, **kwargs)

    monkeypatch.setattr(session.PanopticPipeline, "load", watched)
    node.set_parameters([Parameter("cameras", value=["front", "rear"])])
    before = entities(node)
    monkeypatch.setattr(node, function, failing)
    if node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
        assert node.trigger_activate() == TransitionCallbackReturn.ERROR
    assert len(made) == calls
    wait_for(lambda: gc.collect() >= 0 and not pipelines, "the pipeline's end")
    wait_for(lambda: entities(node) == before, "nothing left behind")


def test_what_an_engine_does_to_get_ready_is_told_while_it_does(host, client, monkeypatch):
    load, go_on = session.PanopticPipeline.load, threading.Event()
    log = logging.getLogger(f"{engines.__name__}.artefacts")

    def slow(*args, **options):
        log.info("exporting the networks, %d of 3", 1)
        assert go_on.wait(TIMEOUT)
        return load(*args, **options)

    monkeypatch.setattr(session.PanopticPipeline, "load", slow)
    configuring = threading.Thread(target=host.node.trigger_configure)
    configuring.start()
    _, message, now = client.wait_for_health(lambda _level, _message, now: now["warm_up"])
    assert message == "configuring, warming up: exporting the networks, 1 of 3"
    assert now["state"] == "configuring"
    go_on.set()
    configuring.join(TIMEOUT)
    client.wait_for_health(
        lambda level, message, now: (message, now["warm_up"]) == ("inactive", "")
    )
    # Nothing stays that would tell of somebody else's loading.
    assert not log.parent.handlers


def test_shutdown_of_an_active_node_frees_everything(host, client):
    before = entities(host.node)
    host.node.trigger_configure()
    host.node.trigger_activate()
    assert host.node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
    assert entities(host.node) == before


def test_outputs_are_converted_only_for_subscribers(host, client, monkeypatch):
    converted = []

    def counted(name, convert):
        return lambda make, answer: (converted.append(name), convert(make, answer))[1]

    for table in (output_messages.IMAGE_OUTPUTS, output_messages.GROUND_OUTPUTS):
        for name, (kind, convert) in table.items():
            monkeypatch.setitem(table, name, (kind, counted(name, convert)))
    host.node.trigger_configure()
    host.node.trigger_activate()
    slot = host.camera.slot

    def answered():
        out = slot.counts().out
        converted.clear()
        host.spin_until(lambda: client.publish(PIXELS) and slot.counts().out > out + 1, "a frame")
        return set(converted)

    assert answered() == set()
    instances = client.subscribe("~/instances", PanopticInstances)
    host.spin_until(lambda: client.publish(PIXELS) and instances, "instances")
    # They follow the labels in a thread of their own.
    converted.clear()
    host.spin_until(lambda: client.publish(PIXELS) and len(converted) > 1, "conversions")
    assert set(converted) == {"instances"}


def test_deactivation_in_the_middle_of_a_frame_publishes_nothing_more(host, client, monkeypatch):
    labels = client.subscribe("~/labels", Image)
    host.node.trigger_configure()
    host.node.trigger_activate()
    host.spin_until(lambda: client.publish(PIXELS) and labels, "labels")
    slot, pipeline, in_work = host.camera.slot, host.node.session.pipeline, threading.Event()
    run = pipeline.run
    go_on = threading.Event()

    def held(*args):
        in_work.set()
        assert go_on.wait(30)
        return run(*args)

    host.spin_until(lambda: slot.counts().waiting == 0, "all frames")
    before = slot.counts()
    monkeypatch.setattr(pipeline, "run", held)
    host.spin_until(lambda: client.publish(PIXELS) and in_work.is_set(), "a frame in work")
    host.node.trigger_deactivate()
    go_on.set()
    wait_for(lambda: slot.counts().waiting == 0, "the frame in work")
    assert slot.counts().out == before.out
    assert slot.counts().dropped > before.dropped


def test_a_pipeline_that_fails_is_an_error_that_ends_with_the_next_good_frame(
    host, client, monkeypatch
):
    labels = client.subscribe("~/labels", Image)
    host.node.trigger_configure()
    host.node.trigger_activate()
    with monkeypatch.context() as patch:
        patch.setattr(host.node.session.pipeline, "run", lambda *args: np.zeros(1)[2])
        host.spin_until(lambda: client.publish(PIXELS) and host.health().fault, "a refusal")
        assert "IndexError" in client.wait_for_health(lambda level, *_: level == b"\2")[1]
    host.spin_until(lambda: client.publish(PIXELS) and labels, "labels")
    assert host.health().fault == ""
