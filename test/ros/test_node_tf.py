"""Camera and car by TF: tf2_ros, or a fake of it where it is not installed."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("onnxruntime", reason="needs onnxruntime, for networks that see colours")
pytest.importorskip("onnx", reason="needs onnx, to write networks that see colours")

from driven_car import (
    DISTANCE,
    HEIGHT,
    RESOLUTION,
    STREET,
    X_MIN,
    Car,
    cells,
    header,
    node_parameters,
)
from geometry_msgs.msg import TransformStamped
from node_process import seconds, wait_for

from panoptic_ros.ros.transforms import broadcast_mounting

MOUNTING = {"x": 1.0, "y": 0.0, "z": HEIGHT, "roll": 0.0, "pitch": 0.0, "yaw": 0.0}


@pytest.fixture(scope="module")
def node(tf2, start_node, tmp_path_factory):
    own = {"ground.camera.source": "auto", "ground.ego_motion": "tf"}
    return start_node(**node_parameters(tmp_path_factory.mktemp("painted")) | own)


@pytest.fixture(scope="module")
def car(tf2, node):
    car = Car()
    car.wait_until_heard()
    car.broadcaster = tf2.TransformBroadcaster(car.node)
    car.static = tf2.StaticTransformBroadcaster(car.node)
    yield car
    car.close()


def drive_to(car, x, stamp):
    transform = TransformStamped(header=header(stamp, "odom"), child_frame_id="base_link")
    transform.transform.translation.x = x
    car.broadcaster.sendTransform(transform)


def distances(message):
    _, columns = np.nonzero(cells(message) > 50)
    return X_MIN + (columns + 0.5) * RESOLUTION


def test_labels_go_on_while_tf_is_missing_and_the_grid_comes_with_it(node, car):
    # A node that is heard already may yet have to say what it does.
    assert node.only_line("camera pose from tf")
    wait_for(lambda: car.show(STREET) and car.labels, "labels")
    _, _, values = car.wait_for_health(
        lambda level, message, values: values["last_grid_drop"] and values["grids_out"] == "0"
    )
    assert "camera_optical" in values["last_grid_drop"]
    assert "camera_optical" in node.wait_for_line("no grid for a frame")
    kept = broadcast_mounting(car.node, "camera_optical", MOUNTING)

    def seen():
        stamp = time.time()
        drive_to(car, 0.0, stamp)
        car.show(STREET, stamp)
        return car.grids

    grid = wait_for(seen, "a grid")[0]
    assert kept is not None
    # The camera is 1 m ahead of base_link.
    assert np.abs(distances(grid) - DISTANCE - 1).max() < 0.75


def test_a_frame_waits_for_a_transform_that_comes_late(car):
    assert car.grids

    def show():
        stamp = time.time()
        drive_to(car, 0.0, stamp - 0.1)
        shown = car.show(STREET, stamp)
        time.sleep(0.1)
        drive_to(car, 0.0, stamp + 0.1)
        return shown

    car.answered(car.grids, show)


def test_extrapolation_drops_the_grid_and_not_the_labels(car):
    assert car.grids
    before = car.health()[2]["grids_dropped"]
    stamp = time.time() + 5
    car.show(STREET, stamp)
    car.answer_to(car.labels, stamp)
    _, _, values = car.wait_for_health(
        lambda level, message, values: values["grids_dropped"] != before
    )
    assert "extrapolation" in values["last_grid_drop"]
    assert seconds(car.grids[-1].header.stamp) != stamp


def test_transforms_are_forgotten_where_time_starts_again(car):
    now = time.time() - 1000
    car.show(STREET, now)
    wait_for(lambda: car.health()[2]["refused_stamp"] == "1", "the refusal")

    def seen():
        stamp = now + time.time() % 100
        drive_to(car, 0.0, stamp)
        car.show(STREET, stamp)
        return [m for m in car.grids if seconds(m.header.stamp) < now + 200]

    wait_for(seen, "a grid of the new time")


def test_height_pitch_and_roll_come_from_a_levelled_frame(car):
    assert car.transition("deactivate")
    assert car.set("ground.level_frame", "base_level") == (True, "")
    assert car.transition("activate")
    car.wait_until_heard()
    # The camera hangs half as high over the levelled frame: what it sees is half as far away.
    level = TransformStamped(header=header(time.time(), "base_link"), child_frame_id="base_level")
    level.transform.translation.z = HEIGHT / 2
    car.static.sendTransform(level)
    first = time.time() + 100

    def seen():
        stamp = first + time.time() % 100
        drive_to(car, 0.0, stamp)
        car.show(STREET, stamp)
        return [m for m in car.grids if seconds(m.header.stamp) >= first]

    grid = wait_for(seen, "a grid")[-1]
    assert np.abs(distances(grid) - DISTANCE / 2 - 1).max() < 0.75
