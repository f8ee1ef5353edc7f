"""The node on simulated time: a /clock that stands still, jumps, is not there, or comes twice."""

import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import faults
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from node_process import counts, image_message, random_pixels, seconds, wait_for
from panoptic_ros.msg import PanopticInstances
from rosgraph_msgs.msg import Clock

WARN = DiagnosticStatus.WARN
PIXELS = random_pixels()
NEXT_LIFE = ("deactivate", "cleanup", "configure", "activate")


class Simulation:
    """Send /clock, and with it frames of that stamp, one at each call."""

    def __init__(self, client):
        self.client, self.now = client, 100.0
        self.clocks = [client.node.create_publisher(Clock, "/clock", 10)]
        # These are not there for frames that stand still.
        self.instances = client.subscribe("~/instances", PanopticInstances)

    def step(self, by=0.05, *, ahead=0.0):
        """Let time go on and send a frame whose stamp is some seconds ahead of it."""
        self.now += by
        for behind, clock in enumerate(self.clocks):
            clock.publish(Clock(clock=image_message(PIXELS, self.now - 50 * behind).header.stamp))
        self.client.publish(PIXELS, self.now + ahead)
        time.sleep(0.02)

    def health(self, condition, **step):
        """Return the first health that meets a condition while time goes on."""

        def found():
            self.step(**step)
            level, message, values = self.client.health()
            of = counts(values)
            assert of["in"] == of["out"] + of["dropped"] + of["refused"] + of["waiting"]
            return (level, message, values) if condition(message, values) else None

        return wait_for(found, f"diagnostics, last {self.client.diagnostics[-1:]}")

    def goes_on(self):
        """Wait until a frame of now has instances, and the latency is known."""
        since = self.now
        wait_for(
            lambda: self.step() or any(since < seconds(m.header.stamp) for m in self.instances),
            "instances",
        )
        return self.health(
            lambda _, v: v["latency_hint"] == "" and v["latency_age_p50_ms"] != "nan"
        )[2]

    def close(self):
        for clock in self.clocks:
            self.client.node.destroy_publisher(clock)


@pytest.fixture(scope="module")
def node(client, tiny_model, tmp_path_factory):
    parameters = {"weights": tiny_model, "device": "cpu", "use_sim_time": "true"}
    node = faults.BreakableNode(tmp_path_factory.mktemp("node"), **parameters)
    client.wait_until_heard()
    yield node
    node.kill()


@pytest.fixture
def simulation(node, client):
    simulation = Simulation(client)
    yield simulation
    simulation.close()
    # The next one begins earlier.
    assert all(map(client.transition, NEXT_LIFE))
    client.wait_until_heard()


def test_a_clock_that_never_comes_is_told(node, client):
    def told():
        client.publish(PIXELS)
        return client.health()[2]["latency_hint"]

    assert "and /clock (0 publishers) are" in wait_for(told, "the hint")
    assert all(map(client.transition, NEXT_LIFE))
    client.wait_until_heard()


def test_a_clock_that_stands_still_holds_up_nothing(simulation, client):
    simulation.goes_on()
    level, message, _ = simulation.health(lambda message, _: "stand still" in message, by=0)
    assert level == WARN
    assert f"the stamps of /image stand still at {simulation.now:.3f} s" in message
    assert message.endswith("and /clock go on")
    assert all(map(client.transition, NEXT_LIFE))
    client.wait_until_heard()
    standing = int(simulation.goes_on()["frames_standing"])
    assert int(simulation.goes_on()["frames_standing"]) == standing


def test_a_clock_that_jumps_back_costs_one_frame(simulation):
    before = int(simulation.goes_on()["refused_stamp"])
    simulation.now -= 80
    level, _, values = simulation.health(lambda message, _: "went back by" in message)
    assert level == WARN
    assert int(values["refused_stamp"]) == before + 1
    simulation.goes_on()


def test_frames_ahead_of_the_clock_have_no_latency(simulation):
    simulation.goes_on()
    hint = simulation.health(lambda _, v: v["latency_hint"], ahead=1e6)[2]["latency_hint"]
    assert "stamps and /clock (1 publishers) are -" in hint
    simulation.goes_on()


def test_a_second_clock_is_counted(simulation, client):
    simulation.clocks.append(client.node.create_publisher(Clock, "/clock", 10))
    hint = "stamps and /clock (2 publishers) are"
    simulation.health(lambda _, values: hint in values["latency_hint"])
    client.node.destroy_publisher(simulation.clocks.pop())
    simulation.goes_on()


def test_a_clock_that_is_no_time_is_named(simulation, client):
    simulation.goes_on()

    def told():
        # Alone: the node keeps the newest only.
        simulation.clocks[0].publish(Clock(clock=Time(sec=-5)))
        level, message, _ = client.health()
        return (level, message) if "/clock failed" in message else None

    level, message = wait_for(told, "the warning")
    assert level == WARN
    assert "a callback of /clock failed: ValueError" in message
    simulation.goes_on()
