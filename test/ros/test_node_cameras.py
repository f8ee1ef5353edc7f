"""Several cameras at one node: a process with two that see, and one that never comes."""

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("onnxruntime", reason="needs onnxruntime, for networks that see colours")
pytest.importorskip("onnx", reason="needs onnx, to write networks that see colours")

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from driven_car import (
    DISTANCE,
    FOCAL,
    HEIGHT,
    RESOLUTION,
    SHAPE,
    STREET,
    calibration,
    cells,
    header,
    node_parameters,
    odometry,
)
from nav_msgs.msg import OccupancyGrid, Odometry
from node_process import (
    LATCHED,
    TIMEOUT,
    Client,
    counts,
    image_message,
    random_pixels,
    seconds,
    values,
    wait_for,
)
from panoptic_ros.msg import LabelInfo, PanopticInstances, SemanticGrid
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from run_at_once import RunAtOnce
from sensor_msgs.msg import CameraInfo, Image

from panoptic_ros.image_region import ImageRegion
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.engines import cuda_graph_engine
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.ros.camera_stream import CameraStream
from panoptic_ros.ros.lifecycle import PanopticNode
from panoptic_ros.ros.served_model import ServedModel

CAMERAS = ("front", "rear", "side")
# Of half the size: another camera altogether, with the same view to the other side.
SMALL = (SHAPE[0] // 2, SHAPE[1] // 2)
PICTURES = {"front": STREET, "rear": np.ascontiguousarray(STREET[::2, ::2])}
X_MIN = -16.0
TOPICS = {"image": Image, "camera_info": CameraInfo}
OUTPUTS = {
    "labels": (Image, 10),
    "instances": (PanopticInstances, 10),
    "grid": (OccupancyGrid, LATCHED),
}
BAD_NAMES = {
    "front' twice": ["front", "front"],
    "', which": ["front", ""],
    "re__ar', which": ["front", "re__ar"],
    "2nd', which": ["2nd"],
    "a/b', which": ["a/b"],
}


class Rig(Client):
    """Publish the pictures of two cameras with calibration and odometry of the same stamp."""

    def __init__(self):
        super().__init__(reliable=True)
        self.publishers = {
            (name, topic): self.node.create_publisher(kind, f"{name}/{topic}", 5)
            for name in PICTURES
            for topic, kind in TOPICS.items()
        }
        self.odometry = self.node.create_publisher(Odometry, "odom", 5)
        self.outputs = {
            (name, output): self.subscribe(f"~/{name}/{output}", kind, qos)
            for name in PICTURES
            for output, (kind, qos) in OUTPUTS.items()
        }
        self.fused = self.subscribe("~/grid", OccupancyGrid, LATCHED)

    def wait_until_heard(self):
        heard = [p.get_subscription_count for p in (*self.publishers.values(), self.odometry)]
        wait_for(lambda: all(count() for count in heard), "the node to subscribe")

    def show(self, *names, x=0.0):
        """Publish a frame of each camera; return their stamp."""
        stamp = time.time()
        self.odometry.publish(odometry(stamp, x, 0.0))
        for name in names:
            picture, focal = PICTURES[name], FOCAL * PICTURES[name].shape[0] / SHAPE[0]
            info = calibration(focal, picture.shape[:2])
            info.k[2], info.k[5] = (picture.shape[1] - 1) / 2, (picture.shape[0] - 1) / 2
            info.header = header(stamp)
            self.publishers[name, "camera_info"].publish(info)
            self.publishers[name, "image"].publish(image_message(picture, stamp))
        return stamp

    def entry(self, about):
        """Return level, message and values of the newest status about something."""
        array = self.diagnostics[-1]
        status = next(s for s in array.status if s.name == f"panoptic: {about}")
        return status.level, status.message, values(status)


@pytest.fixture(scope="module")
def node(start_node, tmp_path_factory):
    own = {
        "cameras": "[front, rear, side]",
        "score_threshold": 0.5,
        "rear.ground.camera.yaw": np.pi,
        "ground.window.x_min": X_MIN,
        "ground.window.length": 2 * -X_MIN,
    }
    return start_node(**node_parameters(tmp_path_factory.mktemp("painted")) | own)


@pytest.fixture(scope="module")
def rig(node):
    yield from Rig().while_heard()


def walls(message):
    """Return the x of a grid's occupied cells."""
    _, columns = np.nonzero(cells(message) > 50)
    return X_MIN + (columns + 0.5) * RESOLUTION


def test_cameras_share_the_vehicles_odometry(rig):
    assert rig.odometry.get_subscription_count() == 1


def test_each_camera_has_labels_instances_and_tracks_of_its_own(rig):
    info = rig.subscribe("~/label_info", LabelInfo, LATCHED)
    for name, shape in (("front", SHAPE), ("rear", SMALL)):
        labels = labels_of(rig, name)
        assert labels.shape == shape
        wall = CITYSCAPES.by_name["wall"].id
        assert (labels == wall).sum() > 0.02 * labels.size
    tracks = {
        name: wait_for(
            lambda name=name: [
                i.track_id for m in rig.outputs[name, "instances"] for i in m.instances
            ],
            f"instances of {name}",
        )
        for name in PICTURES
    }
    assert not set(tracks["front"]) & set(tracks["rear"])
    assert len(wait_for(lambda: info, "what the labels mean")) == 1


def test_one_grid_is_of_each_camera_and_one_of_all(rig):
    def both(sent):
        # A busy machine answers later than the next pictures are shown.
        sent.add(rig.show("front", "rear"))
        time.sleep(0.2)
        return [m for m in rig.fused if seconds(m.header.stamp) in sent and len(walls(m)) > 0]

    wait_for(lambda sent=set(): both(sent), "a fused grid")
    ahead, behind = (walls(rig.outputs[name, "grid"][-1]) for name in PICTURES)
    assert np.abs(ahead - DISTANCE).max() < 1
    assert np.abs(behind + DISTANCE).max() < 2
    found = walls(wait_for(lambda sent=set(): both(sent), "a fused grid")[-1])
    assert found.max() > DISTANCE - 1
    assert found.min() < 1 - DISTANCE
    stamps = [seconds(m.header.stamp) for m in rig.fused]
    assert stamps == sorted(stamps)


def test_what_moves_is_of_all_cameras(rig):
    layers = rig.subscribe("~/grid_layers", SemanticGrid, LATCHED)

    def static():
        rig.show("front", "rear")
        time.sleep(0.2)
        if not layers:
            return None
        cells = np.array(layers[-1].p_static).reshape(-1, layers[-1].info.width)
        x = X_MIN + (np.nonzero(cells > 0.5)[1] + 0.5) * RESOLUTION
        return (x > 0).any() and (x < 0).any()

    wait_for(static, "what stands ahead and behind")


def test_frames_of_each_camera_are_accounted_for(rig):
    for _ in range(5):
        rig.show("front", "rear")

    def settled():
        rig.health()
        found = {name: rig.entry(f"camera {name}")[2] for name in CAMERAS}
        number = {name: counts(each) for name, each in found.items()}
        return None if any(each["waiting"] for each in number.values()) else number

    number = wait_for(settled, "all frames")
    for name in CAMERAS:
        came = number[name].pop("in")
        assert came == sum(number[name].values())
        assert (came > 0) == (name in PICTURES)
        number[name]["in"] = came
    total = counts(rig.entry("panoptic")[2])
    assert total == {key: sum(each[key] for each in number.values()) for key in total}
    assert rig.entry("camera front")[2]["image_size"] == f"{SHAPE[1]}x{SHAPE[0]}"
    assert rig.entry("camera rear")[2]["input_topic"] == "/rear/image"


def test_cameras_that_never_come_or_stop_hold_up_nobody(rig):
    def silent():
        rig.show("front")
        rig.health()
        entries = {name: rig.entry(f"camera {name}")[:2] for name in CAMERAS}
        return entries if entries["rear"][1].startswith("no image") else None

    entries = wait_for(silent, "a silent camera")
    assert entries["front"] == (DiagnosticStatus.OK, "active")
    for name in ("rear", "side"):
        assert entries[name][0] == DiagnosticStatus.WARN
        assert entries[name][1].startswith(f"no image on /{name}/image for")
    level, message, _ = rig.entry("panoptic")
    assert level == DiagnosticStatus.WARN
    assert "no image on /" in message
    rig.answered(rig.fused, lambda: rig.show("front", x=1.0))


def test_a_broken_image_is_its_cameras(rig):
    broken = image_message(PICTURES["rear"])
    broken.encoding = "smell"
    rig.publishers["rear", "image"].publish(broken)
    _, message, _ = rig.wait_for_health(lambda _level, _message, now: now["refused_image"] == "1")
    assert message.startswith("rear: frames refused: ")
    refused = {name: rig.entry(f"camera {name}")[2]["refused_image"] for name in CAMERAS}
    assert refused == {"front": "0", "rear": "1", "side": "0"}


def test_a_bad_calibration_is_its_cameras(rig):
    def told():
        stamp = rig.show("front", x=1.0)
        bad = CameraInfo(header=header(stamp), height=SMALL[0], width=SMALL[1])
        rig.publishers["rear", "camera_info"].publish(bad)
        rig.publishers["rear", "image"].publish(image_message(PICTURES["rear"], stamp))
        rig.health()
        reason = rig.entry("camera rear")[2]["last_grid_drop"]
        return reason if reason.startswith("camera_info cannot be used") else None

    wait_for(told, "what is wrong with the calibration")
    assert not rig.entry("camera front")[2]["last_grid_drop"].startswith("camera_info")
    for name in ("front", "rear"):
        rig.answered(rig.outputs[name, "grid"], lambda: rig.show("front", "rear", x=1.0))


def test_stamps_that_stand_still_are_their_cameras(rig):
    stamp = time.time()

    def told():
        rig.show("front", x=1.0)
        rig.publishers["rear", "image"].publish(image_message(PICTURES["rear"], stamp))
        rig.health()
        return "stand still" in rig.entry("camera rear")[1]

    wait_for(told, "stamps that stand still")
    assert rig.entry("camera front")[2]["frames_standing"] == "0"
    rig.answered(rig.fused, lambda: rig.show("front", x=1.0))
    rig.answered(rig.outputs["rear", "grid"], lambda: rig.show("rear", x=1.0))


def labels_of(rig, name):
    message = rig.answered(rig.outputs[name, "labels"], lambda: rig.show(name))
    return np.frombuffer(bytes(message.data), np.uint16).reshape(message.height, message.width)


def test_place_and_region_of_its_own_are_parameters(rig):
    assert rig.get("rear.ground.camera.yaw") == pytest.approx(np.pi)
    assert rig.get("front.ground.camera.z") == HEIGHT
    succeeded, reason = rig.set("rear.region.width", 3)
    assert (succeeded, "deactivate first" in reason) == (False, True)
    assert rig.transition("deactivate")
    assert rig.set("rear.region.width", SMALL[1] // 2) == (True, "")
    assert rig.transition("activate")
    rig.wait_until_heard()
    assert not labels_of(rig, "rear")[:, SMALL[1] // 2 :].any()
    assert labels_of(rig, "front").all()


def test_names_that_cannot_be_are_refused_by_configure(node, rig):
    assert rig.transition("deactivate")
    assert rig.transition("cleanup")
    for words, names in BAD_NAMES.items():
        assert rig.set("cameras", names)[0]
        assert not rig.transition("configure")
        assert node.wait_for_line(f"cannot configure: cameras has '.*{words}")
    _, message, _ = rig.wait_for_health(lambda level, *_: level == DiagnosticStatus.ERROR)
    assert message.startswith("cannot configure: cameras has 'a/b'")
    assert "a list of names" in rig.set("cameras", "front")[1]
    assert rig.set("cameras", ["rear"])[0]
    assert rig.transition("configure")
    assert rig.transition("activate")
    rig.answered(rig.outputs["rear", "labels"], lambda: rig.show("rear"))


@contextmanager
def active_node(weights, engine="eager"):
    """Yield a node in this process that takes frames of CAMERAS."""
    context = Context()
    rclpy.init(context=context)
    values = {"weights": weights, "device": "cpu", "cameras": list(CAMERAS), "autostart": False}
    values["engine"] = engine
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = PanopticNode(context=context, parameter_overrides=overrides)
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        yield node
    finally:
        node.close(TIMEOUT)
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.fixture
def held(monkeypatch):
    """Hold every frame in work until this is set."""
    held, run = threading.Event(), PanopticPipeline.run

    def slow_run(*args):
        assert held.wait(TIMEOUT)
        return run(*args)

    monkeypatch.setattr(PanopticPipeline, "run", slow_run)
    yield held
    held.set()


@pytest.fixture
def published(monkeypatch):
    """Return a list of what is published: camera, label image, times."""
    published, publish = [], CameraStream.publish

    def note(camera, frame, answer, times):
        published.append((camera.name, answer.result.panoptic.labels, times))
        publish(camera, frame, answer, times)

    monkeypatch.setattr(CameraStream, "publish", note)
    return published


def test_what_a_cuda_graph_gives_is_published_with_its_times(
    domain, tiny_model, monkeypatch, published
):
    monkeypatch.setattr(cuda_graph_engine, "is_there", lambda device: True)
    monkeypatch.setattr(cuda_graph_engine, "Captured", RunAtOnce)
    with active_node(tiny_model, "cuda_graph") as node:
        pipeline = node.session.pipeline
        assert isinstance(pipeline.networks, cuda_graph_engine.GraphedNetworks)
        camera, picture = node.session.cameras[0], random_pixels()
        camera._on_image(image_message(picture))
        wait_for(lambda: camera.slot.counts().waiting == 0, "the frame's answer")
        assert camera.slot.counts().out == 1
        ((_, labels, times),) = published
        np.testing.assert_array_equal(labels, pipeline(picture).labels)
        assert {"semantic", "instances", "fusion"} <= times.keys()


@pytest.mark.parametrize("works", [True, False])
def test_frames_that_wait_together_are_inferred_in_one_pass(
    domain, tiny_model, monkeypatch, held, published, works
):
    """As on a GPU; where the pass fails, each frame is inferred alone."""
    passes, together = [], PanopticPipeline.infer_together

    def infer_together(pipeline, images):
        passes.append(len(images))
        if not works:
            raise MemoryError
        return together(pipeline, images)

    monkeypatch.setattr(PanopticPipeline, "can_batch", True)
    monkeypatch.setattr(PanopticPipeline, "infer_together", infer_together)
    with active_node(tiny_model) as node:
        cameras = node.session.cameras
        for number in range(2):
            cameras[0]._on_image(image_message(random_pixels()))
            wait_for(lambda: cameras[0].slot.waiting is None, "the frame to be in work")
            for camera in cameras:
                camera._on_image(image_message(random_pixels()))
            held.set()
            wait_for(lambda: all(c.slot.counts().waiting == 0 for c in cameras), "all frames")
            # The first ones told what size the others will have.
            assert passes == [3] * number
            held.clear()
        assert sorted(name for name, *_ in published) == sorted(2 * (*CAMERAS, "front"))


class Uploads:
    """Note the thread of each upload, and let those that are made ahead come through one by one."""

    def __init__(self, patch):
        self.threads, self._upload = [], PanopticPipeline.upload
        self.passes = threading.Semaphore(100)
        patch.setattr(PanopticPipeline, "prepares_ahead", True)
        patch.setattr(PanopticPipeline, "upload", lambda *args: self(*args))

    def __call__(self, pipeline, image, region):
        name = threading.current_thread().name
        self.threads.append(name)
        assert name == "inference" or self.passes.acquire(timeout=TIMEOUT)
        return self._upload(pipeline, image, region)


@pytest.fixture
def uploads(monkeypatch):
    uploads = Uploads(monkeypatch)
    yield uploads
    uploads.passes.release(100)


def offer(camera, message):
    """Give a camera's message to the node behind a frame in work; return when it is ready."""
    camera._on_image(message)
    frame = camera.slot.waiting
    wait_for(lambda: frame.ready is not None, "the frame to be ready")


def begin(camera):
    camera._on_image(image_message(random_pixels()))
    wait_for(lambda: camera.slot.waiting is None, "the frame to be in work")


def settle(held, cameras):
    held.set()
    wait_for(lambda: all(c.slot.counts().waiting == 0 for c in cameras), "all frames")


@pytest.mark.parametrize("batches", [False, True])
def test_frames_that_wait_are_made_ready_while_another_is_in_work(
    domain, tiny_model, monkeypatch, held, published, uploads, batches
):
    """As on a GPU: the label images are those of frames that are made ready by nobody."""
    with active_node(tiny_model) as node:
        cameras = node.session.cameras
        pictures = [random_pixels(seed=seed) for seed in range(3)]
        held.set()
        for camera, pixels in zip(cameras, pictures, strict=True):
            camera._on_image(image_message(pixels))
            # While a frame is in work, what comes may be made ready by the other thread.
            is_idle = node.session.worker.seconds_in_work
            wait_for(lambda c=camera: c.slot.counts().waiting == 0, "the frame's answer")
            wait_for(lambda idle=is_idle: idle() == 0, "the worker to rest")
        assert uploads.threads == ["inference"] * 3
        expected = {name: labels for name, labels, _ in published}
        held.clear()
        monkeypatch.setattr(PanopticPipeline, "can_batch", batches)
        begin(cameras[0])
        for camera, pixels in zip(cameras, pictures, strict=True):
            offer(camera, image_message(pixels))
        settle(held, cameras)
        assert uploads.threads == ["inference"] * 4 + ["inference ahead"] * 3
        for name, labels, times in published[4:]:
            np.testing.assert_array_equal(labels, expected[name])
            assert times["wait"] > times["decode"] > 0
            # Its decoding passed while it waited.
            assert times["wait"] + times["inference"] + times["publish"] <= times["total"]


def test_frames_that_cannot_be_made_ready_are_refused_once_and_as_before(
    domain, tiny_model, held, published, uploads
):
    with active_node(tiny_model) as node:
        front, rear, side = cameras = node.session.cameras
        begin(front)
        broken = image_message(random_pixels())
        broken.encoding = "smell"
        front._on_image(broken)
        offer(rear, image_message(random_pixels()))
        # Too small for the networks: only its upload tells.
        side._on_image(image_message(random_pixels(8, 8)))
        wait_for(lambda: len(uploads.threads) == 3, "the uploads")
        settle(held, cameras)
        assert [c.slot.counts().refused for c in cameras] == [1, 0, 1]
        assert [c.slot.counts().out for c in cameras] == [1, 1, 0]
        counts = [c.health.snapshot().counts["image"] for c in (front, side)]
        assert [c.number for c in counts] == [1, 1]
        assert "smell" in counts[0].reason
        assert "image has dtype" in counts[1].reason


def test_what_was_made_ready_for_something_else_is_made_anew(
    domain, tiny_model, held, published, uploads
):
    with active_node(tiny_model) as node:
        session, cameras = node.session, node.session.cameras

        def made_anew(change):
            held.clear()
            begin(cameras[0])
            for camera in cameras:
                offer(camera, image_message(random_pixels()))
            uploads.threads.clear()
            change()
            settle(held, cameras)
            return uploads.threads

        rear, region = cameras[1], ImageRegion(width=64)
        assert made_anew(lambda: setattr(rear, "region", region)) == ["inference"]
        assert [labels[:, 64:].any() for name, labels, _ in published if name == "rear"] == [False]
        model = ServedModel(session._settings)
        assert made_anew(lambda: session.take_over(model)) == ["inference"] * 3
        assert made_anew(lambda: setattr(model.pipeline, "max_pixels", 64)) == []
        assert [c.slot.counts().refused for c in cameras] == [1, 1, 1]


def test_a_node_ends_while_a_frame_is_made_ready(domain, tiny_model, held, published, uploads):
    with active_node(tiny_model) as node:
        session, camera = node.session, node.session.cameras[0]
        uploads.passes = threading.Semaphore(0)
        begin(camera)
        camera._on_image(image_message(random_pixels()))
        wait_for(lambda: uploads.threads[-1:] == ["inference ahead"], "the upload to begin")
        # The frame that waits is replaced, and made ready by whoever comes first.
        camera._on_image(image_message(random_pixels()))
        assert camera.slot.counts().dropped == 1
        held.set()
        wait_for(lambda: camera.slot.counts().waiting == 0, "the newer frame's answer")
        assert not session.close(0.05)
        assert session.is_busy()
        uploads.passes.release()
        wait_for(lambda: not session.is_busy(), "the threads' end")
