"""The outputs for consumers of vision_msgs, which is a fake where ROS 2 comes without it."""

import json

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("onnxruntime", reason="needs onnxruntime, for networks that see colours")
pytest.importorskip("onnx", reason="needs onnx, to write networks that see colours")

from driven_car import CAR, DISTANCE, LAST_ROW, STREET, Car, lateral, node_parameters
from fakes import installed_or_fake
from node_process import LATCHED, wait_for
from panoptic_ros.msg import PanopticInstances

from panoptic_ros.labels import CITYSCAPES


@pytest.fixture(scope="module")
def vision_msgs(domain):
    """Return vision_msgs.msg, for this process and those that it starts."""
    with installed_or_fake("vision_msgs", "vision_msgs.msg") as module:
        yield module


@pytest.fixture(scope="module")
def car(vision_msgs, start_node, tmp_path_factory):
    parameters = node_parameters(tmp_path_factory.mktemp("painted"))
    start_node(**parameters | {"score_threshold": 0.25})
    car = Car()
    car.wait_until_heard()
    yield car
    car.close()


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
