"""The outputs with messages of other packages, fakes where ROS 2 comes without them."""

import json
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("onnxruntime", reason="needs onnxruntime, for networks that see colours")
pytest.importorskip("onnx", reason="needs onnx, to write networks that see colours")

from driven_car import (
    CAR,
    DISTANCE,
    FOCAL,
    LAST_ROW,
    SHAPE,
    STREET,
    Car,
    header,
    lateral,
    node_parameters,
)
from fakes import installed_or_fake
from node_process import LATCHED, wait_for
from panoptic_ros.msg import PanopticInstances
from sensor_msgs.msg import Image, PointCloud2

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.ros.conversions import MESSAGES


@pytest.fixture(scope="module")
def vision_msgs(domain):
    """Return vision_msgs.msg, for this process and those that it starts."""
    with installed_or_fake("messages", "vision_msgs.msg") as module:
        yield module


@pytest.fixture(scope="module")
def grid_map_msgs(domain):
    """Return grid_map_msgs.msg, as `vision_msgs`."""
    with installed_or_fake("messages", "grid_map_msgs.msg") as module:
        yield module


@pytest.fixture(scope="module")
def car(vision_msgs, grid_map_msgs, start_node, tmp_path_factory):
    parameters = node_parameters(tmp_path_factory.mktemp("painted"))
    start_node(**parameters | {"score_threshold": 0.25, "ground.window.resolution": 0.5})
    yield from Car().while_heard()


def plain(message):
    """Return a message's fields as numbers, texts, lists and mappings."""
    if isinstance(message, list):
        return [plain(entry) for entry in message]
    if not hasattr(message, "get_fields_and_field_types"):
        return message
    names = message.get_fields_and_field_types()
    if list(names) == ["data"]:
        return json.loads(message.data)
    return {name: plain(getattr(message, name)) for name in names}


@pytest.fixture(scope="module")
def answer(car, vision_msgs):
    """The messages of one frame of a street with a car, when it has been followed for a while."""
    found = {
        "detections": car.subscribe("~/detections", vision_msgs.Detection2DArray),
        "detections_3d": car.subscribe("~/detections_3d", vision_msgs.Detection3DArray),
        "instances": car.subscribe("~/instances", PanopticInstances),
    }

    def of_one_frame():
        car.answer_to(car.labels, car.drive(STREET))
        stamps = {
            name: {str(plain(message)["header"]["stamp"]): message for message in messages}
            for name, messages in found.items()
        }
        common = set.intersection(*(set(messages) for messages in stamps.values()))
        frames = [{n: stamps[n][stamp] for n in stamps} for stamp in sorted(common)]
        return [f for f in frames if plain(f["detections_3d"])["detections"]]

    return wait_for(of_one_frame, "detections in both dimensions")[-1]


def test_vision_info_names_the_classes_to_late_subscribers(car, vision_msgs):
    late = car.subscribe("~/vision_info", vision_msgs.LabelInfo, LATCHED)
    info = plain(wait_for(lambda: late, "vision info")[0])
    names = {c["class_id"]: c["class_name"] for c in info["class_map"]}
    assert names == {c.id: c.name for c in CITYSCAPES.classes}
    assert info["threshold"] == 0.25
    for threshold in (0.5, 0.25):
        assert car.set("score_threshold", threshold) == (True, "")
        wait_for(lambda told=threshold: plain(late[-1])["threshold"] == told, "the new threshold")


def test_detections_are_the_instances(answer):
    message, [instance] = plain(answer["detections"]), answer["instances"].instances
    assert message["header"] == plain(answer["instances"].header)
    [detection] = message["detections"]
    assert detection["header"] == message["header"]
    [result] = detection["results"]
    assert result["hypothesis"]["class_id"] == str(CITYSCAPES.by_name["car"].id)
    assert result["hypothesis"]["score"] == pytest.approx(0.9)
    assert detection["id"] == str(instance.track_id)
    box = detection["bbox"]
    assert box["center"]["position"] == {
        "x": (CAR.start + CAR.stop) / 2,
        "y": (70 + LAST_ROW + 1) / 2,
    }
    assert (box["size_x"], box["size_y"]) == (CAR.stop - CAR.start, LAST_ROW + 1 - 70)


def test_detections_in_space_are_the_tracks(answer):
    message, [instance] = plain(answer["detections_3d"]), answer["instances"].instances
    assert message["header"]["frame_id"] == "odom"
    [detection] = message["detections"]
    assert detection["id"] == str(instance.track_id)
    [result] = detection["results"]
    assert result["hypothesis"]["class_id"] == str(CITYSCAPES.by_name["car"].id)
    box = detection["bbox"]
    assert result["pose"]["pose"] == box["center"]
    place, size = box["center"]["position"], box["size"]
    middle = (lateral(CAR.start) + lateral(CAR.stop)) / 2
    # The box begins at the contact edge and reaches back from there, along the line of sight.
    assert DISTANCE - 0.5 < place["x"] < DISTANCE + 2
    assert place["y"] == pytest.approx(middle, abs=0.6)
    assert place["z"] == pytest.approx(size["z"] / 2, abs=0.1)
    assert size["y"] == pytest.approx(lateral(CAR.start) - lateral(CAR.stop), abs=0.4)
    assert result["pose"]["covariance"][0] > 0


def test_depth_gives_labelled_points_and_measured_boxes(car, vision_msgs, answer):
    """The car's back is 9 m away; its lower edge says 10 m."""
    clouds = car.subscribe("~/points", PointCloud2)
    boxes = car.subscribe("~/detections_3d", vision_msgs.Detection3DArray)
    near = np.full(SHAPE, 30, np.float32)
    near[70 : LAST_ROW + 1, CAR] = 9.0
    depth = car.node.create_publisher(Image, "depth", 5)
    wait_for(lambda: depth.get_subscription_count() == 1, "the listener of depth")

    def measured():
        stamp = time.time()
        depth.publish(MESSAGES.image(near, "32FC1", header(stamp)))
        car.answer_to(car.labels, car.drive(STREET, stamp=stamp))
        found = [d for message in boxes for d in plain(message)["detections"]]
        # As long as cars are, behind what is seen of it.
        return clouds and [d for d in found if d["bbox"]["size"]["x"] > 4]

    detection = wait_for(measured, "a cloud and a box")[-1]
    car.node.destroy_publisher(depth)
    place, size = detection["bbox"]["center"]["position"], detection["bbox"]["size"]
    assert size["x"] == pytest.approx(4.6, abs=0.05)
    assert place["x"] == pytest.approx(9 + 4.6 / 2, abs=0.3)
    assert 9 * (CAR.stop - CAR.start) / FOCAL - 0.3 < size["y"] < 2
    assert place["z"] == pytest.approx(size["z"] / 2, abs=0.05)
    cloud = clouds[-1]
    assert (cloud.header.frame_id, cloud.height, cloud.width) == ("camera_optical", *SHAPE)
    points = np.frombuffer(cloud.data, np.uint32).reshape(*SHAPE, -1)
    middle = points[76, (CAR.start + CAR.stop) // 2]
    assert middle.view(np.float32)[2] == 9.0
    [instance] = answer["instances"].instances
    assert middle[4:].tolist() == [instance.class_id, instance.id, int(detection["id"])]


def test_a_detection_that_is_switched_off_is_not_published(car, vision_msgs, answer):
    messages = car.subscribe("~/detections", vision_msgs.Detection2DArray)
    wait_for(lambda: car.drive(STREET) and messages, "detections")
    assert car.set("outputs.detections", False) == (True, "")
    instances = car.subscribe("~/instances", PanopticInstances)
    # What was in work when the parameter changed may still come.
    wait_for(lambda: car.drive(STREET) and instances, "instances")
    car.answer_to(instances, car.drive(STREET))
    messages.clear()
    car.answer_to(instances, car.drive(STREET))
    assert messages == []


def test_the_grid_as_a_grid_map(car, grid_map_msgs):
    maps = car.subscribe("~/grid_map", grid_map_msgs.GridMap, LATCHED)

    def moving():
        car.answer_to(car.labels, car.drive(STREET))
        return [m for m in map(plain, maps) if "p_dynamic" in m["layers"]]

    message = wait_for(moving, "a grid map")[-1]
    size = message["data"][0]["layout"]["dim"]
    cells = size[0]["size"] * size[1]["size"]
    assert {"occupancy", "class", "cost", "p_static", "velocity_x", "velocity_yy"} <= set(
        message["layers"]
    )
    assert [len(plane["data"]) for plane in message["data"]] == [cells] * len(message["layers"])
    info = message["info"]
    assert cells * info["resolution"] ** 2 == pytest.approx(info["length_x"] * info["length_y"])
    assert message["header"]["frame_id"] == "base_link"
