"""The node as a process of its own, and a client that speaks with it over DDS."""

import array
import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from waiting import TIMEOUT, wait_for

SERVICES = {
    "change_state": ChangeState,
    "get_state": GetState,
    "get_parameters": GetParameters,
    "set_parameters": SetParameters,
}
LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def image_message(pixels, stamp=None, frame_id="camera_optical"):
    """Return uint8 [H, W, 3] as rgb8 message; stamp: seconds, None is now."""
    nanoseconds = time.time_ns() if stamp is None else round(stamp * 1e9)
    header = Header(
        stamp=Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9), frame_id=frame_id
    )
    height, width = pixels.shape[:2]
    data = array.array("B", pixels.tobytes())
    return Image(
        header=header, height=height, width=width, encoding="rgb8", step=3 * width, data=data
    )


def seconds(stamp):
    return stamp.sec + stamp.nanosec * 1e-9


class NodeProcess:
    """Run the node with parameters; its output goes to a file."""

    def __init__(self, folder, program=("-m", "panoptic_ros.ros.node"), **parameters):
        self._output = Path(folder) / "output.txt"
        arguments = [a for k, v in parameters.items() for a in ("-p", f"{k}:={v}")]
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, *program, "--ros-args", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def output(self):
        return self._output.read_text()

    def lines(self, pattern):
        return [line for line in self.output().splitlines() if re.search(pattern, line)]

    def only_line(self, pattern):
        """Wait for a line and return it; there may be no second one."""
        self.wait_for_line(pattern)
        [line] = self.lines(pattern)
        return line

    def wait_for_line(self, pattern):
        def found():
            assert self._process.poll() is None, self.output()
            return self.lines(pattern)

        return wait_for(found, f"{pattern!r} in\n{self.output()}")[0]

    def has_ended(self):
        return self._process.poll() is not None

    def wait(self):
        return self._process.wait(TIMEOUT)

    def end(self, number=signal.SIGINT):
        """Send a signal; return the exit code."""
        self._process.send_signal(number)
        return self._process.wait(TIMEOUT)

    def wait_until_mapped(self, library):
        """Wait until the process has begun to load a library."""
        maps = Path(f"/proc/{self._process.pid}/maps")
        wait_for(lambda: library in maps.read_text(), f"{library} to be loaded")

    def kill(self):
        """End the process, in order if it can: killed, it would leave the network only later."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait(TIMEOUT)

    def resident_bytes(self):
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Client:
    """Publish images to a node and read what it publishes, in a participant of its own."""

    def __init__(self, node_name="panoptic", *, reliable=False):
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("client", context=self._context)
        self._name = f"/{node_name}"
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._services = {}
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self.diagnostics = self.subscribe("/diagnostics", DiagnosticArray)
        self._reliability = (
            ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        )
        self._cameras = {}
        # Made before there is a node, so that both sides know of each other when it answers.
        for service, kind in SERVICES.items():
            self._services[service] = self.node.create_client(kind, f"{self._name}/{service}")
        self._thread.start()

    def camera(self, kind=Image):
        """Return the publisher of `image`, made when it is first needed."""
        if kind not in self._cameras:
            self._cameras[kind] = self._make_camera(kind)
        return self._cameras[kind]

    def _make_camera(self, kind):
        qos = QoSProfile(depth=10, reliability=self._reliability)
        return self.node.create_publisher(kind, "image", qos)

    def close(self):
        rclpy.shutdown(context=self._context)
        self._thread.join(TIMEOUT)
        self.node.destroy_node()

    def _spin(self):
        while self._context.ok():
            # A test's thread may destroy what the executor is about to wait for.
            with contextlib.suppress(ExternalShutdownException, InvalidHandle):
                self._executor.spin()

    def subscribe(self, topic, kind, qos=10, on_message=None):
        """Return a list that every message of a topic is appended to; ~ is the node."""
        messages = []
        topic = topic.replace("~", self._name)
        self.node.create_subscription(kind, topic, on_message or messages.append, qos)
        return messages

    def wait_until_heard(self, kind=Image):
        """Wait until the node subscribes to the camera's topic."""
        camera = self.camera(kind)
        count = camera.get_subscription_count
        wait_for(lambda: count() == 1, "the node, and no other, to subscribe")

    def while_heard(self):
        """Yield the client once the node hears it, and close it in the end: for a fixture."""
        self.wait_until_heard()
        yield self
        self.close()

    def camera_is_alone(self):
        return self.camera().get_subscription_count() == 0

    def publish(self, pixels, stamp=None, **header):
        """Publish an image; return its stamp in seconds."""
        message = image_message(pixels, stamp, **header)
        self.camera().publish(message)
        return seconds(message.header.stamp)

    def publish_message(self, message):
        self.camera(type(message)).publish(message)

    def answer(self, messages, pixels, **header):
        """Publish an image and return the message with its stamp from a subscription's list."""
        return self.answered(messages, lambda: self.publish(pixels, **header))

    def answered(self, messages, send):
        """Return the first message with a stamp that `send` returns.

        It sends each second: a frame may be lost while all connect, or on a busy machine.
        """
        sent, last = set(), -math.inf

        def found():
            nonlocal last
            if time.monotonic() > last + 1:
                sent.add(send())
                last = time.monotonic()
            return [m for m in messages if seconds(m.header.stamp) in sent]

        return wait_for(found, "an answer to a frame")[0]

    def answer_to(self, messages, stamp):
        def found():
            return [m for m in messages if seconds(m.header.stamp) == stamp]

        return wait_for(found, f"an answer to the frame of {stamp}")[0]

    def begin(self, service, request):
        """Return the future of a service's response."""
        # A service that knows only half of us yet answers into the void.
        wait_for(lambda: self.diagnostics, "the node's first sign of life")
        if not self._services[service].wait_for_service(TIMEOUT / 2):
            # Beside a load a participant was seen to miss one endpoint of another for good.
            kind = SERVICES[service]
            self._services[service] = self.node.create_client(kind, f"{self._name}/{service}")
            assert self._services[service].wait_for_service(TIMEOUT / 2)
        return self._services[service].call_async(request)

    def call(self, service, request):
        """Return a service's response."""
        future = self.begin(service, request)
        wait_for(future.done, f"service {service}")
        return future.result()

    def transition(self, name):
        """Return whether a lifecycle transition succeeded.

        After `deactivate` nobody subscribes to the cameras: a subscription that is gone, and not
        yet known to be, would be taken for the next one.
        """
        done = self.call("change_state", change_to(name)).success
        if done and name == "deactivate":
            cameras = self._cameras.values()
            wait_for(
                lambda: not any(camera.get_subscription_count() for camera in cameras),
                "the node to unsubscribe",
            )
        return done

    def begin_transition(self, name):
        self.begin("change_state", change_to(name))

    def state(self):
        return self.call("get_state", GetState.Request()).current_state.label

    def set(self, name, value):
        """Set a parameter; return (successful, reason)."""
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        result = self.call("set_parameters", request).results[0]
        return result.successful, result.reason

    def get(self, name):
        request = GetParameters.Request(names=[name])
        response = self.call("get_parameters", request)
        return parameter_value_to_python(response.values[0])

    def health(self):
        """Return the next diagnostic status as level, message and a dict of its values."""
        seen = len(self.diagnostics)
        wait_for(lambda: len(self.diagnostics) > seen, "diagnostics")
        status = self.diagnostics[-1].status[0]
        return status.level, status.message, values(status)

    def wait_for_health(self, condition):
        """Return the first status' level, message and values that meet a condition."""

        def found():
            health = self.health()
            return health if condition(*health) else None

        return wait_for(found, f"diagnostics, last {self.diagnostics[-1:]}")


def change_to(transition):
    # By label: shutdown has another id in each state.
    return ChangeState.Request(transition=Transition(label=transition))


def values(status):
    return {v.key: v.value for v in status.values}


def counts(health):
    """Return the frame counts of diagnostic values as integers."""
    names = ("in", "out", "dropped", "refused", "waiting")
    return {name: int(health[f"frames_{name}"]) for name in names}


def random_pixels(height=64, width=128, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
