"""One active node, frame after frame: what comes out, what is refused, what can be set."""

import array
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from diagnostic_msgs.msg import DiagnosticStatus
from node_process import LATCHED, Client, counts, image_message, random_pixels, wait_for
from panoptic_ros.msg import LabelInfo, PanopticInstances
from sensor_msgs.msg import CompressedImage, Image

from panoptic_ros.labels import CITYSCAPES, class_ids
from panoptic_ros.pipeline import PanopticPipeline

# What is published once has to arrive.
RELIABLE = True
PIXELS = random_pixels()
IMAGES = {"labels": "16UC1", "semantic": "mono8", "confidence": "mono8", "color": "rgb8"}


@pytest.fixture(scope="module")
def node(start_node, tiny_model, client):
    node = start_node(weights=tiny_model, device="cpu", **{"qos.reliability": "reliable"})
    client.wait_until_heard()
    return node


@pytest.fixture(scope="module")
def outputs(node, client):
    """Lists of the messages of each output."""
    outputs = {name: client.subscribe(f"~/{name}", Image) for name in IMAGES}
    outputs["instances"] = client.subscribe("~/instances", PanopticInstances)
    wait_for(lambda: client.publish(PIXELS) and all(outputs.values()), "all outputs")
    return outputs


@pytest.fixture(scope="module")
def labels(outputs):
    return outputs["labels"]


def array_of(message, dtype=np.uint8):
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, -1).squeeze()


def test_start_and_the_first_frame_are_told(node, labels, tiny_model):
    start = node.only_line("weights")
    for word in ("device cpu", "weights random_64", "input /image"):
        assert word in start
    assert node.only_line("first frame: 128x64")


@pytest.mark.parametrize(("output", "encoding"), IMAGES.items())
def test_images_carry_the_cameras_stamp_and_frame(client, outputs, output, encoding):
    message = client.answer(outputs[output], PIXELS, frame_id="left_optical")
    assert message.header.frame_id == "left_optical"
    assert (message.height, message.width, message.encoding) == (64, 128, encoding)


def test_the_label_image_is_the_pipelines(client, labels, tiny_model):
    message = client.answer(labels, PIXELS)
    expected = PanopticPipeline.load(tiny_model, device="cpu")(PIXELS).labels
    found = array_of(message, np.uint16)
    # Other numbers of threads sum in another order: a tie may fall the other way.
    assert (found == expected).mean() > 0.99


def test_instances_fit_the_label_image(client, outputs):
    stamp = client.publish(PIXELS)
    label_image = array_of(client.answer_to(outputs["labels"], stamp), np.uint16)
    message = client.answer_to(outputs["instances"], stamp)
    assert message.header.frame_id == "camera_optical"
    things = {int(value) for value in np.unique(label_image) if value >= 1000}
    assert {i.id for i in message.instances} == things
    assert things
    for instance in message.instances:
        box, mask = instance.box, array_of(instance.mask)
        rows = slice(box.y_offset, box.y_offset + box.height)
        columns = slice(box.x_offset, box.x_offset + box.width)
        inside = label_image[rows, columns] == instance.id
        np.testing.assert_array_equal(mask.reshape(inside.shape) == 255, inside)
        assert inside.sum() == instance.area == (label_image == instance.id).sum()


def test_semantic_has_label_ids(client, outputs):
    classes = np.unique(array_of(client.answer(outputs["semantic"], PIXELS)))
    assert set(classes.tolist()) <= set(CITYSCAPES.ids.tolist())


def test_label_info_waits_for_late_subscribers(node, client, outputs):
    late = client.subscribe("~/label_info", LabelInfo, LATCHED)
    [info] = wait_for(lambda: late, "label info")
    assert [c.id for c in info.classes] == sorted(CITYSCAPES.ids)


def spoiled(change):
    message = image_message(PIXELS)
    for field, value in change.items():
        setattr(message, field, value)
    return message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"width": 0, "step": 0, "data": array.array("B")}, "zero size"),
        ({"height": 63}, "expected"),
        ({"step": 100, "data": array.array("B", bytes(6400))}, "step 100"),
        ({"encoding": "rgb7"}, "rgb7"),
        ({"data": array.array("B", bytes(10))}, "10 bytes"),
        ({"height": 16, "data": array.array("B", bytes(16 * 384))}, "32"),
    ],
)
def test_a_bad_message_is_refused_named_and_forgotten(node, client, labels, change, reason):
    _, _, before = client.health()
    client.publish_message(spoiled(change))
    level, message, after = client.wait_for_health(
        lambda level, message, now: now["refused_image"] != before["refused_image"]
    )
    assert level == DiagnosticStatus.WARN
    assert reason in message
    assert reason in after["last_refusal"]
    assert int(after["refused_image"]) == int(before["refused_image"]) + 1
    client.answer(labels, PIXELS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("frame refused", lambda k: spoiled({"encoding": "rgb7"})),
        # Two cameras on one topic.
        ("frames are now", lambda k: image_message(random_pixels(64, 128 + k % 2))),
    ],
)
def test_what_comes_with_each_frame_is_logged_at_most_once_a_second(
    node, client, labels, line, message
):
    logged, started = len(node.lines(line)), time.monotonic()
    for k in range(40):
        client.publish_message(message(k))
        time.sleep(0.05)
    client.answer(labels, PIXELS)
    elapsed = time.monotonic() - started
    assert 1 <= len(node.lines(line)) - logged <= elapsed + 1


def test_time_that_starts_again_is_refused_once(node, client, labels):
    _, _, before = client.health()
    now = time.time()
    # A bag of 100 s loops; its second frame overtakes the third.
    client.answer_to(labels, client.publish(PIXELS, stamp=now + 100))
    client.publish(PIXELS, stamp=now)
    for step in (0.2, 0.1, 0.3):
        client.answer_to(labels, client.publish(PIXELS, stamp=now + step))
    _, _, after = client.health()
    assert int(after["refused_stamp"]) == int(before["refused_stamp"]) + 1
    assert node.only_line(r"went back by 100\.0 s.*reset")


def test_every_frame_is_accounted_for(client, labels):
    for _ in range(30):
        client.publish(PIXELS)
        time.sleep(0.01)
    _, _, health = client.wait_for_health(lambda *health: counts(health[2])["waiting"] == 0)
    found = counts(health)
    assert found["in"] == found["out"] + found["dropped"] + found["refused"]
    assert found["dropped"] > 0
    assert all(float(health[f"latency_{s}_p50_ms"]) >= 0 for s in ("decode", "fusion", "age"))


def test_thresholds_change_while_active(client, outputs):
    assert client.set("score_threshold", 1.0) == (True, "")
    assert client.answer(outputs["instances"], PIXELS).instances == []
    assert client.set("score_threshold", -1.0) == (True, "")
    assert client.answer(outputs["instances"], PIXELS).instances != []
    assert client.set("stuff_area_limit", 1 << 30) == (True, "")
    stuff = class_ids(array_of(client.answer(outputs["labels"], PIXELS), np.uint16))
    assert set(np.unique(stuff).tolist()) <= {0, *(c.id for c in CITYSCAPES.things)}
    assert client.set("stuff_area_limit", -1) == (True, "")


def test_the_fusion_strategy_changes_while_active(client, labels):
    assert client.set("fusion", "conv_head") == (True, "")
    client.wait_for_health(lambda level, message, now: now["fusion"] == "conv_head")
    client.answer(labels, PIXELS)
    assert client.set("fusion", "") == (True, "")
    client.wait_for_health(lambda level, message, now: now["fusion"] == "stack")


def test_outputs_are_switched_while_active(client, outputs):
    assert client.set("outputs.color", False) == (True, "")
    stamp = client.publish(PIXELS)
    # Published after color.
    client.answer_to(outputs["labels"], stamp)
    client.answer(outputs["labels"], PIXELS)
    assert stamp not in [
        m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for m in outputs["color"]
    ]
    assert client.set("outputs.color", True) == (True, "")
    client.answer(outputs["color"], PIXELS)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("score_threshold", 1.5, "range"),
        ("score_threshold", float("nan"), "range"),
        ("score_threshold", -0.5, "the model's own"),
        ("mask_threshold", 1.0, "]0, 1["),
        ("fusion", "heuristic", "'stack'"),
        ("outputs.color", "yes", "type"),
        ("device", "cuda:1", "deactivate and clean up first"),
        ("image_transport", "compressed", "deactivate first"),
        ("qos.depth", 7, "deactivate first"),
        ("autostart", False, "read-only"),
    ],
)
def test_a_bad_value_is_refused_and_the_old_one_stays(client, labels, name, value, reason):
    old = client.get(name)
    successful, words = client.set(name, value)
    assert not successful
    assert reason in words
    assert client.get(name) == old
    client.answer(labels, PIXELS)


def test_a_compressed_camera(client, labels):
    assert client.transition("deactivate")
    assert client.set("image_transport", "compressed") == (True, "")
    # One participant cannot have two types on a topic.
    other = Client(reliable=True)
    assert client.transition("activate")
    other.wait_until_heard(CompressedImage)
    good, bad = (CompressedImage(header=image_message(PIXELS).header, format="png") for _ in "ab")
    good.data = array.array("B", cv2.imencode(".png", PIXELS)[1].tobytes())
    bad.data = good.data[:100]

    # Best effort may lose what is sent while the two still connect: send until it is answered.
    def refused(level, message, now):
        other.publish_message(bad)
        return "png" in now["last_refusal"].lower()

    def answered():
        other.publish_message(good)
        return [m for m in labels if m.header == good.header]

    client.wait_for_health(refused)
    wait_for(answered, "the answer to a PNG")
    other.close()
    assert client.transition("deactivate")
    assert client.set("image_transport", "raw") == (True, "")
    assert client.transition("activate")
    client.wait_until_heard()
    client.answer(labels, PIXELS)
