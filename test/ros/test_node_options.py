"""One active node that sees colours: what users choose of classes, outputs, pictures and rates."""

import time
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("onnxruntime", reason="needs onnxruntime, for networks that see colours")
pytest.importorskip("onnx", reason="needs onnx, to write networks that see colours")

import yaml
from builtin_interfaces.msg import Time
from driven_car import CAR, LAST_ROW, SHAPE, STREET, Car, cells, node_parameters
from nav_msgs.msg import OccupancyGrid
from node_process import LATCHED, counts, image_message, wait_for
from painted_model import write_model
from panoptic_ros.msg import LabelInfo, PanopticInstances, SemanticGrid
from panoptic_ros.srv import Segment
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import Marker, MarkerArray
from waiting import TIMEOUT

from panoptic_ros.labels import CITYSCAPES

# Sky over road, with a wall and a car.
CAR_PIXELS = slice(70, LAST_ROW + 1), CAR
CAR_BOX = CAR.start, 70, CAR.stop, LAST_ROW + 1
EVERYTHING = {7, 12, 23, 26000}
PICTURE = STREET.copy()
PICTURE[CAR_PIXELS] = CITYSCAPES.by_name["car"].color


@pytest.fixture(scope="module")
def node(start_node, tmp_path_factory):
    folder = tmp_path_factory.mktemp("painted")
    parameters = node_parameters(folder) | {"score_threshold": -1.0, "qos.reliability": "reliable"}
    # For pictures of any size.
    weights = write_model(folder, ("rows", "columns"), CAR_BOX)
    return start_node(**parameters | {"weights": weights})


@pytest.fixture(scope="module")
def client(node):
    yield from Car().while_heard()


@pytest.fixture(scope="module")
def labels(client):
    labels = client.subscribe("~/labels", Image)
    wait_for(lambda: client.publish(PICTURE) and labels, "labels")
    return labels


@pytest.fixture(scope="module")
def instances(labels, client):
    instances = client.subscribe("~/instances", PanopticInstances)
    wait_for(lambda: client.publish(PICTURE) and instances, "instances")
    return instances


YARD = {
    "classes": [
        {"id": 100, "name": "ground", "of": ["road"]},
        {"id": 5, "name": "vehicle", "of": ["truck", "car"], "color": [255, 0, 0]},
    ]
}


def array_of(message, dtype=np.uint16):
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width)


def publish(client, number):
    """Publish the picture several times, not faster than the node takes it."""
    for _ in range(number):
        client.publish(PICTURE)
        time.sleep(0.05)


def values_of(client, labels):
    """Return the values in the label image of the picture."""
    stamp = client.publish(PICTURE)
    return set(np.unique(array_of(client.answer_to(labels, stamp))).tolist())


def names_of(client, instances):
    """Return the names of the picture's instances."""
    stamp = client.publish(PICTURE)
    return [i.class_name for i in client.answer_to(instances, stamp).instances]


def test_a_class_has_a_threshold_of_its_own_from_the_next_frame_on(client, labels, instances):
    assert names_of(client, instances) == ["car"]
    assert client.set("class_thresholds", "person=0.1, car=0.95") == (True, "")
    assert names_of(client, instances) == []
    assert client.set("score_threshold", 1.0) == (True, "")
    assert client.set("class_thresholds", "car=0.85") == (True, "")
    assert names_of(client, instances) == ["car"]
    assert client.set("score_threshold", -1.0) == (True, "")
    assert client.set("class_thresholds", "") == (True, "")


@pytest.mark.parametrize(
    ("classes", "values"),
    [
        ("road, car", {0, 7, 26000}),
        ("sky,road", {0, 7, 23}),
        ("car", {0, 26000}),
        ("", EVERYTHING),
    ],
)
def test_other_classes_are_not_there_from_the_next_frame_on(client, labels, classes, values):
    assert client.set("classes", classes) == (True, "")
    assert values_of(client, labels) == values


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("class_thresholds", "person=1.5", "CLASS=SCORE"),
        ("class_thresholds", "road=0.5", "stuff and has no score"),
        ("class_thresholds", "dog=0.5", "must name some of ['road', 'sidewalk'"),
        ("classes", "road, dog", "classes names 'dog', which the model does not know"),
        ("classes", ["road"], "type"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_and_the_old_one_stays(
    client, labels, name, value, reason
):
    old = client.get(name)
    successful, words = client.set(name, value)
    assert not successful
    assert reason in words
    assert client.get(name) == old
    assert values_of(client, labels) == EVERYTHING


@pytest.fixture
def set_inactive(client):
    """Return a function that sets parameters of an inactive node and makes it active again."""
    taken_back = {}

    def change(**values):
        assert client.transition("deactivate")
        for name, value in values.items():
            taken_back.setdefault(name, client.get(name))
            assert client.set(name, value) == (True, "")
        assert client.transition("activate")
        client.wait_until_heard()

    yield change
    change(**dict(taken_back))


def test_other_classes_and_values_in_the_outputs(client, labels, instances, set_inactive, tmp_path):
    file = tmp_path / "yard.yaml"
    file.write_text(yaml.safe_dump(YARD))
    semantic = client.subscribe("~/semantic", Image)
    set_inactive(label_map=str(file), labels_encoding="32SC1")
    infos = client.subscribe("~/label_info", LabelInfo, LATCHED)
    wait_for(lambda: client.publish(PICTURE) and semantic, "semantic")

    stamp = client.publish(PICTURE)
    shown = client.answer_to(labels, stamp)
    assert shown.encoding == "32SC1"
    values = array_of(shown, np.int32)
    assert set(np.unique(values).tolist()) == {0, 100 << 16, 5 << 16 | 1}
    assert (values[CAR_PIXELS] == (5 << 16 | 1)).all()
    [instance] = client.answer_to(instances, stamp).instances
    assert (instance.id, instance.class_id) == (5 << 16 | 1, 5)
    assert (instance.class_name, instance.area) == ("vehicle", 21 * 13)
    classes = array_of(client.answer_to(semantic, stamp), np.uint8)
    assert (classes[0, 0], classes[-1, 0], classes[CAR_PIXELS].max()) == (0, 100, 5)
    info = wait_for(lambda: infos, "label info")[-1]
    assert (info.label_set, info.instance_divisor) == ("yard", 1 << 16)
    assert [(c.id, c.name, c.is_thing) for c in info.classes] == [
        (5, "vehicle", True),
        (100, "ground", False),
    ]
    assert (info.classes[0].color.r, info.classes[0].color.b) == (1.0, 0.0)


def test_other_classes_in_grid_and_markers(client, labels, set_inactive, tmp_path):
    file = tmp_path / "yard.yaml"
    file.write_text(yaml.safe_dump(YARD))
    set_inactive(label_map=str(file))
    grids = client.subscribe("~/class_grid", OccupancyGrid, LATCHED)
    layers = client.subscribe("~/grid_layers", SemanticGrid, LATCHED)
    markers = client.subscribe("~/markers", MarkerArray)

    def named():
        client.grid(PICTURE)
        texts = [m.text for array in markers for m in array.markers if m.action == Marker.ADD]
        return [text for text in texts if text] and grids and layers

    wait_for(named, "grids and a named track")
    assert set(cells(grids[-1]).ravel().tolist()) == {-1, 5, 100}
    message = layers[-1]
    assert list(message.class_ids) == [100, 5]
    shape = (2, message.info.height, message.info.width)
    probability = np.array(message.class_probabilities, np.float32).reshape(shape)
    road = cells(grids[-1]) == 100
    assert (probability[0] > probability[1])[road].all()
    texts = {m.text.split()[0] for array in markers for m in array.markers if m.text}
    assert texts == {"vehicle"}


def occupied(client):
    """Return the cells in which the grid of a new frame of the street has an obstacle."""
    return {tuple(cell) for cell in np.argwhere(cells(client.grid(STREET)) > 50).tolist()}


def test_an_obstacle_stays_in_its_cell_where_the_networks_see_a_part_of_the_picture(
    client, labels, instances, set_inactive
):
    assert client.set("class_thresholds", "car=1.0") == (True, "")
    set_inactive()
    whole = occupied(client)
    assert len(whole) > 5
    set_inactive(**{"region.x_offset": 30, "region.y_offset": 20, "region.width": 200})
    assert occupied(client) == whole
    assert client.set("class_thresholds", "") == (True, "")
    stamp = client.publish(STREET)
    values = array_of(client.answer_to(labels, stamp))
    assert not values[:20].any()
    assert not values[:, :30].any()
    assert not values[:, 230:].any()
    assert values[20:, 30:230].all()
    # The detector of the test sees the car in the same place of whatever it is shown.
    [instance] = client.answer_to(instances, stamp).instances
    assert (instance.box.x_offset, instance.box.y_offset) == (CAR.start + 30, 70 + 20)
    assert set(values[CAR_BOX[1] + 20 : CAR_BOX[3] + 20, CAR.start + 30].tolist()) == {26000}


def test_an_obstacle_whose_foot_is_outside_is_not_placed(client, labels, set_inactive):
    set_inactive(**{"region.height": LAST_ROW - 2})
    assert occupied(client) == set()


def test_the_own_vehicle_has_no_labels(client, labels, instances, set_inactive, tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[-8:] = mask[70:75, CAR] = 255
    cv2.imwrite(str(tmp_path / "ego.png"), mask)
    confidence = client.subscribe("~/confidence", Image)
    set_inactive(**{"region.ego_mask": str(tmp_path / "ego.png")})
    wait_for(lambda: client.publish(PICTURE) and confidence, "confidence")
    stamp = client.publish(PICTURE)
    values = array_of(client.answer_to(labels, stamp))
    np.testing.assert_array_equal(values == 0, mask > 0)
    sure = array_of(client.answer_to(confidence, stamp), np.uint8)
    np.testing.assert_array_equal(sure == 0, mask > 0)
    [instance] = client.answer_to(instances, stamp).instances
    assert (instance.box.y_offset, instance.box.height, instance.area) == (75, 8, 8 * 21)


def test_a_picture_that_does_not_hold_the_region_is_refused(client, labels, set_inactive):
    set_inactive(**{"region.y_offset": SHAPE[0]})
    _, _, now = client.wait_for_health(
        lambda level, message, now: client.publish(PICTURE) and now["refused_image"] != "0"
    )
    assert "does not lie in a picture of 256x128" in now["last_refusal"]


def test_an_ego_mask_that_cannot_be_read_is_refused(client, set_inactive, tmp_path):
    assert client.transition("deactivate")
    assert "no ego mask" in client.set("region.ego_mask", str(tmp_path / "none.png"))[1]
    (tmp_path / "ego.png").write_text("no picture")
    assert "cannot be read" in client.set("region.ego_mask", str(tmp_path / "ego.png"))[1]
    assert client.transition("activate")
    client.wait_until_heard()


def test_a_label_map_that_cannot_be_is_refused(client, labels, set_inactive, tmp_path):
    file = tmp_path / "yard.yaml"
    file.write_text("classes: [{id: 200, name: ground, of: [road]}]")
    assert client.set("label_map", str(file)) == (
        False,
        "label_map cannot change while active: deactivate first",
    )
    assert client.transition("deactivate")
    assert "which ~/class_grid does not hold" in client.set("label_map", str(file))[1]
    assert "there is no file" in client.set("label_map", str(tmp_path / "none.yaml"))[1]
    assert client.get("label_map") == ""
    assert client.transition("activate")
    client.wait_until_heard()
    assert values_of(client, labels) == EVERYTHING


@pytest.mark.skipif(find_spec("vision_msgs") is not None, reason="vision_msgs is installed")
def test_outputs_whose_messages_are_not_installed_are_absent_and_said_to_be(node, client, labels):
    assert node.wait_for_line("grid_map_msgs is not installed: there is no ~/grid_map")
    line = node.only_line("vision_msgs is not installed")
    assert "there is no ~/detections, ~/detections_3d, ~/vision_info" in line
    topics = {name for name, _ in client.node.get_topic_names_and_types()}
    assert "/panoptic/labels" in topics
    assert not topics & {f"/panoptic/{n}" for n in ("detections", "detections_3d", "vision_info")}


@pytest.fixture(scope="module")
def call(client):
    """Return a function that calls one of the node's services."""
    clients = {
        name: client.node.create_client(kind, f"/panoptic/{name}")
        for name, kind in {"pause": SetBool, "load_model": Trigger}.items()
    }

    def call(name, **request):
        assert clients[name].wait_for_service(TIMEOUT)
        answer = clients[name].call_async(clients[name].srv_type.Request(**request))
        wait_for(answer.done, f"~/{name}")
        return answer.result().success, answer.result().message

    return call


@pytest.mark.parametrize(("name", "value"), [("cameras", []), ("score_threshold", -1.0)])
def test_a_parameter_cannot_be_deleted(client, labels, name, value):
    """As `ros2 param delete` asks for; it could not be set again."""
    assert not client.set(name, None)[0]
    assert list(np.atleast_1d(client.get(name))) == list(np.atleast_1d(value))
    assert client.set(name, value) == (True, "")


def test_a_paused_node_drops_frames_until_it_is_to_go_on(client, labels, call):
    values_of(client, labels)
    assert call("pause", data=True) == (True, "paused: frames are dropped")
    _, _, health = client.wait_for_health(lambda level, message, now: now["state"] == "paused")
    before = counts(health)
    publish(client, 5)
    found = counts(
        client.wait_for_health(
            lambda level, message, now: int(now["frames_dropped"]) >= before["dropped"] + 5
        )[2]
    )
    assert found["out"] == before["out"]
    assert call("pause", data=False) == (True, "active")
    assert values_of(client, labels) == EVERYTHING


def test_an_inactive_node_cannot_be_paused_and_an_active_one_begins_unpaused(client, labels, call):
    assert call("pause", data=True)[0]
    assert client.transition("deactivate")
    successful, message = call("pause", data=True)
    assert not successful
    assert "activate it first" in message
    assert client.transition("activate")
    client.wait_until_heard()
    assert values_of(client, labels) == EVERYTHING


@pytest.fixture(scope="module")
def segment(client, labels):
    """Return a function that lets the node segment images."""
    service = client.node.create_client(Segment, "/panoptic/segment")
    assert service.wait_for_service(TIMEOUT)

    def answers(*messages):
        answers = [service.call_async(Segment.Request(image=message)) for message in messages]
        wait_for(lambda: all(answer.done() for answer in answers), "~/segment")
        return [answer.result() for answer in answers]

    return answers


def test_one_image_gives_everything_that_the_topics_have(client, labels, instances, segment):
    stamp = client.publish(PICTURE)
    published = client.answer_to(labels, stamp), client.answer_to(instances, stamp)
    info = client.subscribe("~/label_info", LabelInfo, LATCHED)
    message = image_message(PICTURE)
    message.header = published[0].header
    for answer in segment(*3 * [message]):
        assert answer.success
        assert answer.message.endswith(" ms")
        assert answer.labels == published[0]
        assert answer.instances.header == published[1].header
        (found,), (expected,) = answer.instances.instances, published[1].instances
        assert (found.id, found.score, found.box) == (expected.id, expected.score, expected.box)
        assert (found.track_id, answer.instances.position_frame) == (-1, "")
        assert np.isnan(found.position.x)
        assert answer.info.classes == wait_for(lambda: info, "what the labels mean")[0].classes
        for name, encoding in (("semantic", "mono8"), ("confidence", "mono8"), ("color", "rgb8")):
            image = getattr(answer, name)
            assert (image.encoding, image.header) == (encoding, published[0].header)
            assert (image.height, image.width) == PICTURE.shape[:2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoding": "smell"}, "smell"),
        ({"data": []}, "0 bytes"),
        ({"height": 60000, "width": 60000, "step": 180000}, "60000x60000"),
        ({"header": Header(stamp=Time(sec=-1))}, "stamp sec -1"),
    ],
)
def test_a_bad_image_is_refused_as_on_the_topic(client, labels, segment, changes, words):
    message = image_message(PICTURE)
    for name, value in changes.items():
        setattr(message, name, value)
    (answer,) = segment(message)
    assert not answer.success
    assert words in answer.message
    assert answer.labels == Image()
    client.publish_message(message)
    client.wait_for_health(lambda level, _, now: now["last_refusal"] == answer.message)


def test_a_node_that_takes_no_frames_segments_nothing(client, labels, call, segment):
    assert call("pause", data=True)[0]
    assert segment(image_message(PICTURE))[0].message == (
        "the node is paused: call ~/pause with false first"
    )
    assert client.transition("deactivate")
    (answer,) = segment(image_message(PICTURE))
    assert (answer.success, answer.message) == (
        False,
        "the node is inactive: configure and activate it first",
    )
    assert client.transition("activate")
    client.wait_until_heard()
    assert segment(image_message(PICTURE))[0].success


def test_the_rate_is_capped_and_every_frame_accounted_for(client, labels):
    assert client.set("max_rate", 0.5) == (True, "")
    before = counts(client.health()[2])
    publish(client, 10)

    def settled(level, message, now):
        found = counts(now)
        return found["in"] >= before["in"] + 10 and not found["waiting"]

    found = counts(client.wait_for_health(settled)[2])
    assert found["out"] - before["out"] <= 2
    assert found["dropped"] - before["dropped"] >= 8
    assert client.set("max_rate", 0.0) == (True, "")
    assert values_of(client, labels) == EVERYTHING


def test_another_model_takes_over_between_frames(client, labels, instances, call, tmp_path):
    """It sees the car somewhere else."""
    old = client.get("weights")
    other = write_model(tmp_path, ("rows", "columns"), (10, 20, 30, 40))
    other = str(Path(other).rename(tmp_path / "other.yaml"))
    assert client.set("weights", other) == (True, "")
    # Nothing is loaded before the service is called.
    assert client.health()[2]["weights"] == "painted"
    assert call("load_model") == (True, f"{other} has taken over from {old}")
    [instance] = client.answer_to(instances, client.publish(PICTURE)).instances
    assert (instance.box.x_offset, instance.box.y_offset) == (10, 20)
    assert client.health()[2]["weights"] == "other"
    assert client.set("weights", old) == (True, "")
    assert call("load_model")[0]
    assert values_of(client, labels) == EVERYTHING


@pytest.mark.parametrize("fault", ["no model file", "semantic.onnx"])
def test_a_bad_model_changes_nothing(client, labels, call, tmp_path, fault):
    old = client.get("weights")
    bad = str(tmp_path / "bad.yaml")
    if fault == "semantic.onnx":
        bad = write_model(tmp_path, ("rows", "columns"), (10, 20, 30, 40))
        (tmp_path / "semantic.onnx").write_bytes(b"no graph")
    assert client.set("weights", bad) == (True, "")
    successful, message = call("load_model")
    assert not successful
    assert fault in message
    assert client.get("weights") == old
    assert values_of(client, labels) == EVERYTHING


def test_an_unconfigured_node_has_no_model_to_switch(client, labels, call):
    assert client.transition("deactivate")
    assert client.transition("cleanup")
    assert call("load_model") == (False, "the node is unconfigured: configure loads the model")
    assert client.transition("configure")
    assert client.transition("activate")
    client.wait_until_heard()
    assert values_of(client, labels) == EVERYTHING
