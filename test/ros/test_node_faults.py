"""What goes wrong in and around the node: it says so, goes on, and answers meanwhile."""

import dataclasses
import gc
import threading
import time
import weakref

import pytest
import torch

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry
from node_process import Client, NodeProcess, counts, image_message, random_pixels, wait_for
from panoptic_ros.msg import PanopticInstances
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger

from panoptic_ros.ros.lifecycle import PanopticNode
from panoptic_ros.ros.node import _spin

ERROR, WARN, OK = DiagnosticStatus.ERROR, DiagnosticStatus.WARN, DiagnosticStatus.OK
PIXELS = random_pixels()
LARGE = random_pixels(720, 1280)


class Host:
    """Run a node in this process as its program does, so that a test can break its parts."""

    def __init__(self, **parameters):
        self.context = Context()
        rclpy.init(context=self.context)
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = PanopticNode(context=self.context, parameter_overrides=overrides)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=_spin, args=(self.node, self._stop), daemon=True)
        self._thread.start()

    @property
    def pipeline(self):
        return self.node.session.pipeline

    def close(self):
        self._stop.set()
        self._thread.join()
        # Each test has networks of its own: their memory must not wait for a collection.
        if self.node.session is not None:
            self.node.trigger_shutdown()
        self.node.close(0)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture(scope="module", autouse=True)
def without_tcp(domain):
    """Keep off TCP, which LARGE_DATA uses: taking down many participants of a process hangs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        yield


@pytest.fixture(scope="module")
def client(without_tcp):
    client = Client()
    yield client
    client.close()


@pytest.fixture
def host(client, tiny_model):
    host = Host(weights=tiny_model, device="cpu", stall_timeout=0.5)
    client.wait_until_heard()
    yield host
    host.close()


@pytest.fixture
def labels(client, host):
    labels = client.subscribe("~/labels", Image)
    answered(client, labels)
    return labels


def answered(client, labels):
    """Wait until a frame is answered; what is sent while all connect may be lost."""
    sent = set()

    def found():
        sent.add(client.publish(PIXELS))
        time.sleep(0.02)
        return [m for m in labels if m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 in sent]

    return wait_for(found, "labels")[0]


def health_while_sending(client, condition):
    """Return the first health that meets a condition while frames are sent."""

    def found():
        for _ in range(5):
            client.publish(PIXELS)
            time.sleep(0.02)
        health = client.health()
        return health if condition(*health) else None

    return wait_for(found, f"diagnostics, last {client.diagnostics[-1:]}")


# ---- the network


@pytest.fixture
def hung(host, client, labels, monkeypatch):
    """Let the inference hang until the event that is returned."""
    go_on = threading.Event()
    run = host.pipeline.run
    monkeypatch.setattr(host.pipeline, "run", lambda image: (go_on.wait(), run(image))[1])
    yield go_on
    go_on.set()


def test_an_inference_that_hangs_is_an_error_until_it_returns(hung, client, labels):
    _, message, values = health_while_sending(client, lambda level, *_: level == ERROR)
    assert "inference hangs" in message
    assert "stall_timeout 0.5 s" in message
    assert float(values["work_s"]) >= 0.5
    found = counts(values)
    assert found["in"] == found["out"] + found["dropped"] + found["refused"] + found["waiting"]
    assert client.set("stall_timeout", 600.0) == (True, "")
    client.wait_for_health(lambda level, *_: level != ERROR)
    assert client.set("stall_timeout", 0.5) == (True, "")
    hung.set()
    answered(client, labels)
    client.wait_for_health(lambda level, message, _: (level, message) == (OK, "active"))


def test_a_network_that_hangs_holds_up_no_service(hung, host, client, labels):
    health_while_sending(client, lambda level, *_: level == ERROR)
    first = weakref.ref(host.node.session)
    start = time.monotonic()
    for transition in ("deactivate", "cleanup"):
        assert client.transition(transition)
        assert client.get("score_threshold") == -1.0
    assert client.state() == "unconfigured"
    level, message, _ = client.wait_for_health(lambda _l, _m, now: float(now["busy_s"]) > 0)
    assert level == WARN
    assert "unconfigured, busy" in message
    # The longest of these waits is the one for the frame in work.
    assert time.monotonic() - start < 60
    # A second life beside it.
    labels.clear()
    assert client.transition("configure")
    assert client.transition("activate")
    client.wait_until_heard()
    answered(client, labels)
    assert float(client.health()[2]["busy_s"]) > 0
    assert first() is not None
    hung.set()
    client.wait_for_health(lambda _l, _m, now: now["busy_s"] == "0.0")
    assert wait_for(lambda: gc.collect() >= 0 and first() is None, "the first session's end")


def test_shutdown_does_not_wait_for_a_network_that_hangs(hung, client):
    health_while_sending(client, lambda level, *_: level == ERROR)
    assert client.transition("shutdown")
    assert client.state() == "finalized"
    assert "finalized, busy" in client.wait_for_health(lambda *h: float(h[2]["busy_s"]) > 0)[1]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SystemExit(3), "inference"),
        (KeyboardInterrupt(), "inference"),
        (IndexError("\ud800"), "inference"),
        (MemoryError("640 GiB"), "memory"),
    ],
)
def test_whatever_a_network_raises_is_told_and_the_next_frame_taken(
    host, client, labels, monkeypatch, error, kind
):
    def fail(image):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(host.pipeline, "run", fail)
        # On a busy machine the frame before may be slow enough to be called hanging first.
        health = health_while_sending(
            client,
            lambda level, message, _: (
                level == ERROR and f"{kind}: {type(error).__name__}" in message
            ),
        )
    assert int(health[2][f"refused_{kind}"]) > 0
    answered(client, labels)
    client.wait_for_health(lambda level, *_: level != ERROR)


@pytest.mark.parametrize(("part", "value"), [(0, float("nan")), (1, float("inf"))])
def test_networks_that_give_no_numbers_publish_nothing(
    host, client, labels, monkeypatch, part, value
):
    networks = host.pipeline.networks

    class Broken:
        def __call__(self, *args):
            found = list(networks(*args))
            field = dataclasses.fields(found[part])[0].name
            broken = torch.full_like(getattr(found[part], field), value)
            found[part] = dataclasses.replace(found[part], **{field: broken})
            return found

        def __getattr__(self, name):
            return getattr(networks, name)

    with monkeypatch.context() as patch:
        patch.setattr(host.pipeline, "networks", Broken())
        wait_for(lambda: client.health()[2]["frames_waiting"] == "0", "the frames before")
        labels.clear()
        health = health_while_sending(client, lambda level, *_: level == ERROR)
        assert "not finite" in health[1]
        assert int(health[2]["refused_inference"]) > 0
        assert labels == []
    answered(client, labels)


def test_an_inference_thread_that_ended_is_an_error(host, client, labels):
    host.node.session.worker.stop()
    assert "thread has ended" in client.wait_for_health(lambda level, *_: level == ERROR)[1]
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        assert client.transition(transition)
    client.wait_until_heard()
    answered(client, labels)


def test_a_large_image_is_refused_by_a_limit_that_can_be_set(host, client, labels):
    assert client.set("max_pixels", PIXELS.shape[0] * PIXELS.shape[1] - 1) == (True, "")
    health = health_while_sending(client, lambda *h: h[2]["refused_image"] != "0")
    assert "8191" in health[2]["last_refusal"]
    assert client.set("max_pixels", -1) == (True, "")
    answered(client, labels)


# ---- callbacks


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(1)])
def test_a_callback_that_fails_is_named_and_the_node_goes_on(
    host, client, labels, monkeypatch, error
):
    def fail(message):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(host.node.session, "_on_image", fail)
        health = health_while_sending(client, lambda *h: h[2]["callback_errors"] != "0")
    assert health[0] == WARN
    assert f"a callback of /image failed: {type(error).__name__}" in health[1]
    assert "/image" in health[2]["last_callback_error"]
    answered(client, labels)


def test_timers_and_services_are_callbacks_too(host, client, labels):
    def fail(*_):
        raise LookupError("nothing")

    timer = host.node.create_timer(0.01, fail)
    client.wait_for_health(lambda *h: "Timer failed: LookupError" in h[2]["last_callback_error"])
    timer.cancel()
    host.node.create_service(Trigger, "broken", fail)
    ask = client.node.create_client(Trigger, "broken")
    assert ask.wait_for_service(60)
    ask.call_async(Trigger.Request())
    client.wait_for_health(lambda *h: "/broken failed: LookupError" in h[2]["last_callback_error"])
    answered(client, labels)


def test_a_request_that_cannot_be_is_named(host, client, labels):
    value = ParameterValue(type=200)
    request = SetParameters.Request(parameters=[ParameterMessage(name="fusion", value=value)])
    client.begin("set_parameters", request)
    client.wait_for_health(lambda *h: "set_parameters failed" in h[2]["last_callback_error"])
    value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=2)
    request = SetParameters.Request(parameters=[ParameterMessage(name="fusion", value=value)])
    assert not client.call("set_parameters", request).results[0].successful
    answered(client, labels)


def spoiled(message):
    """Return a message serialized, with a frame that is no UTF-8."""
    message.header.frame_id = "abcd"
    data = serialize_message(message)
    assert b"abcd" in data
    return data.replace(b"abcd", b"\xff\xfe\xfd\xfc")


def test_frames_that_are_no_text_disturb_nobody(host, client, labels):
    others = {"camera_info": CameraInfo, "odom": Odometry, "depth": Image, "points": PointCloud2}
    sent = [(client.camera(), spoiled(image_message(PIXELS)))]
    for topic, kind in others.items():
        sent.append((client.node.create_publisher(kind, topic, 1), spoiled(kind())))
    for publisher, _ in sent[1:]:
        wait_for(publisher.get_subscription_count, f"who listens to {publisher.topic_name}")
    for _ in range(10):
        for publisher, data in sent:
            publisher.publish(data)
        time.sleep(0.02)
    answered(client, labels)
    assert client.health()[2]["callback_errors"] == "0"
    for publisher, _ in sent[1:]:
        client.node.destroy_publisher(publisher)


NO_TIMES = [(-1, 0), (-(2**31), 0), (-1, 999_999_999), (0, 10**9), (1, 2**32 - 1)]


def no_time_is_told(client, publisher, message, key, reason):
    """Publish a message with stamps that are no times; each must be named."""
    for sec, nanosec in NO_TIMES:
        message.header.stamp = Time(sec=sec, nanosec=nanosec)
        words = f"stamp sec {sec}, nanosec {nanosec} is no time"

        def told(words=words):
            publisher.publish(message)
            values = client.health()[2]
            return values[key] != "0" and words in values[reason]

        wait_for(told, words)


def test_an_image_whose_stamp_is_no_time_is_refused(host, client, labels):
    message = image_message(PIXELS)
    no_time_is_told(client, client.camera(), message, "refused_stamp", "last_refusal")
    level, words, values = client.health()
    assert level == WARN
    assert "is no time" in words
    found = counts(values)
    assert found["in"] == found["out"] + found["dropped"] + found["refused"] + found["waiting"]
    answered(client, labels)


@pytest.mark.parametrize(
    ("topic", "kind"), [("odom", Odometry), ("depth", Image), ("points", PointCloud2)]
)
def test_another_sensors_stamp_that_is_no_time_is_left_out(host, client, labels, topic, kind):
    message = kind()
    if kind is Odometry:
        message.pose.pose.orientation.w = 1.0
        message.child_frame_id = "base_link"
    publisher = client.node.create_publisher(kind, topic, 1)
    no_time_is_told(client, publisher, message, f"left_out_{topic}", "last_left_out")
    client.node.destroy_publisher(publisher)
    assert client.health()[2]["callback_errors"] == "0"
    answered(client, labels)


# ---- stamps


@pytest.mark.parametrize("stamp", [0.0, 1234.5])
def test_stamps_that_stand_still_are_told(host, client, labels, stamp):
    assert client.transition("deactivate")
    assert client.transition("activate")
    client.wait_until_heard()
    grids = client.subscribe("~/instances", PanopticInstances)
    before = int(client.health()[2]["frames_out"])

    def told():
        for _ in range(5):
            client.publish(PIXELS, stamp)
            time.sleep(0.02)
        health = client.health()
        return health if "stand still" in health[1] else None

    level, message, values = wait_for(told, "the warning")
    assert level == WARN
    assert f"the stamps of /image stand still at {stamp:.3f} s" in message
    assert int(values["frames_standing"]) > 0
    assert int(values["frames_out"]) > before
    assert wait_for(lambda: grids, "instances of the first frame")


def test_frames_that_are_overtaken_are_told(host, client, labels):
    now = time.time()

    def told():
        # What is lost while all connect aside, each second one is older.
        client.publish(PIXELS, now + 10)
        time.sleep(0.02)
        client.publish(PIXELS, now + 9.5)
        health = client.health()
        return health if health[2]["frames_overtaken"] != "0" else None

    level, message, _ = wait_for(told, "the warning")
    assert level == WARN
    assert "an image on /image is 0.500 s behind a newer" in message


def test_a_latency_that_cannot_be_is_unknown_and_says_why(host, client, labels):
    assert client.transition("deactivate")
    assert client.transition("activate")
    client.wait_until_heard()
    stamp = [1000.0]

    def told():
        stamp[0] += 1
        client.publish(PIXELS, stamp[0])
        health = client.health()
        return health if health[2]["latency_hint"] else None

    _, _, values = wait_for(told, "the hint")
    assert "use_sim_time" in values["latency_hint"]
    assert values["latency_age_p50_ms"] == "nan"
    assert float(values["latency_total_p50_ms"]) > 0


def test_the_size_is_of_the_last_frame(host, client, labels):
    client.wait_for_health(lambda *h: h[2]["image_size"] == "128x64")
    other = random_pixels(96, 160)

    def told():
        client.publish(other)
        return client.health()[2]["image_size"] == "160x96"

    wait_for(told, "the new size")
    answered(client, labels)
    client.wait_for_health(lambda *h: h[2]["image_size"] == "128x64")


# ---- the middleware


def publish_for_a_while(client, pixels, frames=20):
    for _ in range(frames):
        client.publish(pixels)
        time.sleep(0.1)


@pytest.mark.parametrize("discovery_range", ["SUBNET", "LOCALHOST"])
def test_large_images_arrive_or_the_reason_is_told(
    domain, tmp_path, tiny_model, monkeypatch, discovery_range
):
    """Of each 2.8 MB, best effort, with the transports of LARGE_DATA asked for."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", discovery_range)
    client = Client()
    node = NodeProcess(tmp_path, weights=tiny_model, device="cpu")
    try:
        client.wait_until_heard()
        # Losses while both connect are no reason to warn.
        time.sleep(6)
        sent = 0

        def told():
            nonlocal sent
            publish_for_a_while(client, LARGE)
            sent += 20
            health = client.health()
            if discovery_range == "SUBNET":
                return health if int(health[2]["frames_in"]) == sent else None
            return health if health[0] == WARN else None

        _, message, values = wait_for(told, "all frames, or the warning")
    finally:
        node.kill()
        client.close()
    if discovery_range == "SUBNET":
        assert values["frames_lost"] == "0"
    else:
        assert int(values["frames_in"]) < sent / 2
        assert "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST" in message
        assert "set FASTDDS" not in message


def test_what_a_full_queue_drops_is_counted_as_lost(host, client, labels):
    """A reliable queue of one message, while the node takes none: nobody but its numbers tells."""
    assert client.transition("deactivate")
    assert client.set("qos.depth", 1) == (True, "")
    assert client.transition("activate")
    client.wait_until_heard()
    answered(client, labels)
    wait_for(lambda: client.health()[2]["frames_waiting"] == "0", "all frames")
    before = counts(client.health()[2])["in"] + int(client.health()[2]["frames_lost"])
    busy, go_on = threading.Event(), threading.Event()
    timer = host.node.create_timer(0.0, lambda: (timer.cancel(), busy.set(), go_on.wait(60)))
    assert busy.wait(60)
    for _ in range(10):
        client.publish(PIXELS)
    time.sleep(0.5)
    go_on.set()
    answered(client, labels)
    _, _, values = client.wait_for_health(lambda *h: int(h[2]["frames_lost"]) > 0)
    assert int(values["frames_in"]) + int(values["frames_lost"]) >= before + 11
