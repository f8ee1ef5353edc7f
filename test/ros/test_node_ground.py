"""The ground half of the node: grid, instances' places, markers, and what happens without."""

import array
import itertools
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("onnxruntime", reason="needs onnxruntime, for networks that see colours")
pytest.importorskip("onnx", reason="needs onnx, to write networks that see colours")

from diagnostic_msgs.msg import DiagnosticStatus
from driven_car import (
    CAR,
    CENTER,
    DISTANCE,
    FOCAL,
    RESOLUTION,
    ROAD,
    ROWS,
    SHAPE,
    STREET,
    UNKNOWN,
    WALL,
    X_MIN,
    Y_MIN,
    Car,
    calibration,
    cell,
    cells,
    header,
    lateral,
    node_parameters,
)
from nav_msgs.msg import OccupancyGrid
from node_process import LATCHED, seconds, wait_for
from painted_model import paint
from panoptic_ros.msg import PanopticInstances, SemanticGrid
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from visualization_msgs.msg import Marker, MarkerArray

from panoptic_ros.labels import CITYSCAPES


@pytest.fixture(scope="module")
def node(start_node, tmp_path_factory):
    return start_node(**node_parameters(tmp_path_factory.mktemp("painted")))


@pytest.fixture(scope="module")
def car(node):
    car = Car()
    car.wait_until_heard()
    # What is sent while the two still connect may be lost.
    wait_for(lambda: car.drive(ROAD) and car.grids, "a grid")
    yield car
    car.close()


@pytest.fixture
def afresh(car):
    """The car, where the node remembers nothing."""
    assert car.transition("deactivate")
    assert car.transition("activate")
    car.wait_until_heard()
    return car


def test_where_a_wall_lies_in_the_grid(car):
    message = car.grid(STREET, x=100.0)
    assert message.header.frame_id == "base_link"
    info = message.info
    assert (info.width, info.height) == (80, 56)
    assert info.resolution == pytest.approx(RESOLUTION)
    assert (info.origin.position.x, info.origin.position.y) == (X_MIN, Y_MIN)
    assert (info.origin.orientation.w, info.origin.orientation.z) == (1.0, 0.0)
    assert len(message.data) == 80 * 56

    grid = cells(message)
    right, left = lateral(WALL.stop), lateral(WALL.start)
    assert -4 < right < left < -1.5
    rows, columns = np.nonzero(grid > 50)
    x = X_MIN + (columns + 0.5) * RESOLUTION
    y = Y_MIN + (rows + 0.5) * RESOLUTION
    assert len(x) > 0
    # A row of pixels covers half a metre of ground there.
    assert np.abs(x - DISTANCE).max() < 0.75
    assert right - 2 * RESOLUTION < y.min() < right + 2 * RESOLUTION
    assert left - 2 * RESOLUTION < y.max() < left + 2 * RESOLUTION
    middle = (left + right) / 2
    # Before it and beside it is free, behind it nobody knows.
    assert 0 <= grid[cell(DISTANCE - 2, middle * 0.8)] < 50
    assert 0 <= grid[cell(DISTANCE, -middle)] < 50
    assert grid[cell(DISTANCE * 1.5, middle * 1.5)] == UNKNOWN


def test_classes_costs_and_probabilities_of_the_cells(car):
    topics = {"class_grid": OccupancyGrid, "cost_grid": OccupancyGrid, "grid_layers": SemanticGrid}
    messages = {name: car.subscribe(f"~/{name}", kind, LATCHED) for name, kind in topics.items()}

    def found():
        stamp = seconds(car.grid(STREET, x=200.0).header.stamp)
        same = {
            n: [m for m in ms if seconds(m.header.stamp) == stamp] for n, ms in messages.items()
        }
        return same if all(same.values()) else None

    answers = {name: same[0] for name, same in wait_for(found, "all grids of a frame").items()}
    for message in answers.values():
        assert message.header == answers["class_grid"].header
        assert message.info == answers["class_grid"].info
    road, wall = CITYSCAPES.by_name["road"].id, CITYSCAPES.by_name["wall"].id
    middle = (lateral(WALL.start) + lateral(WALL.stop)) / 2
    free, behind = cell(DISTANCE - 2, middle * 0.8), cell(DISTANCE * 1.5, middle * 1.5)
    classes, costs = cells(answers["class_grid"]), cells(answers["cost_grid"])
    assert set(np.unique(classes).tolist()) == {UNKNOWN, road, wall}
    assert (classes[free], classes[behind]) == (road, UNKNOWN)
    there = np.argwhere(classes == wall)[0]
    assert costs[behind] == UNKNOWN
    assert 0 <= costs[free] < costs[tuple(there)] <= 100

    layers = answers["grid_layers"]
    assert list(layers.class_ids) == CITYSCAPES.ids.tolist()
    occupancy = np.array(layers.occupancy, np.float32).reshape(classes.shape)
    probabilities = np.array(layers.class_probabilities, np.float32).reshape(-1, *classes.shape)
    np.testing.assert_array_equal(np.isnan(occupancy), classes == UNKNOWN)
    np.testing.assert_array_equal(np.isnan(probabilities).all(0), classes == UNKNOWN)
    np.testing.assert_allclose(probabilities[:, classes != UNKNOWN].sum(0), 1, atol=1e-4)
    best = probabilities[(slice(None), *there)].argmax()
    assert layers.class_ids[best] == wall
    assert occupancy[free] < 0.5 < occupancy[tuple(there)]
    p = [
        np.array(getattr(layers, f"p_{name}")).reshape(classes.shape)
        for name in ("empty", "static", "dynamic", "unknown")
    ]
    np.testing.assert_allclose(np.sum(p, axis=0), 1, atol=1e-5)
    empty, static, dynamic, unknown = p
    assert empty[free] > static[free] + dynamic[free]
    assert static[tuple(there)] > empty[tuple(there)]
    assert (dynamic.max(), unknown[behind]) == (0, 1)
    reasons = np.array(layers.unknown_reason).reshape(classes.shape)
    assert (reasons[tuple(there)], reasons[behind]) == (SemanticGrid.KNOWN, SemanticGrid.HIDDEN)
    distance = np.array(layers.obstacle_distance).reshape(classes.shape)
    assert distance[tuple(there)] == 0 < distance[free]


def test_a_late_subscriber_gets_the_last_grid(car):
    last = car.grid(STREET)
    late = car.subscribe("~/grid", OccupancyGrid, LATCHED)
    assert wait_for(lambda: late, "the grid of a frame that is over")[0] == last


def test_the_grid_remembers_while_the_car_moves(afresh):
    afresh.grid(STREET)
    # Faster than any car it would be a jump.
    time.sleep(0.1)
    # 5 m on, the picture shows nothing but sky.
    moved = cells(afresh.grid(paint(SHAPE, "sky"), x=5.0))
    _, columns = np.nonzero(moved > 50)
    x = X_MIN + (columns + 0.5) * RESOLUTION
    assert len(x) > 0
    assert np.abs(x - (DISTANCE - 5)).max() < 1.0


@pytest.mark.parametrize("jump", [{"x": 30.0}, {"frame": "map"}], ids=["place", "frame"])
def test_nothing_is_remembered_where_odometry_begins_anew(afresh, jump):
    now = time.time()
    left_out = int(afresh.health()[2]["left_out_odom"])
    afresh.grid(STREET, stamp=now)
    # Of a place between the two nothing is known.
    later = afresh.grid(paint(SHAPE, "sky"), stamp=now + 0.1, **jump)
    assert (cells(later) == UNKNOWN).all()
    words = "grid and tracks begin anew" if "x" in jump else "its frame_id was 'odom' and is 'map'"
    _, _, values = afresh.wait_for_health(lambda *h: int(h[2]["left_out_odom"]) > left_out)
    assert words in values["last_left_out"]


def test_nothing_is_remembered_over_a_deactivation(car):
    car.grid(STREET)
    assert car.transition("deactivate")
    assert car.transition("activate")
    car.wait_until_heard()
    assert (cells(car.grid(paint(SHAPE, "sky"))) == UNKNOWN).all()


def test_nothing_is_remembered_where_time_starts_again(afresh):
    now = time.time()
    afresh.grid(STREET, stamp=now)
    # The first frame of a looping bag is refused, with it the memory.
    afresh.drive(STREET, stamp=now - 100)
    wait_for(lambda: afresh.health()[2]["refused_stamp"] != "0", "the refusal")
    later = afresh.grid(paint(SHAPE, "sky"), stamp=now - 99.9)
    assert (cells(later) == UNKNOWN).all()


def send(publisher, message):
    """Publish until it must have come: one sent while connecting may be lost."""
    for _ in range(5):
        publisher.publish(message)
        time.sleep(0.1)


@pytest.fixture
def sensor(afresh):
    """Return a function that sends a message of another sensor, of now, and then a picture.

    It returns the grid.
    """
    publishers = []

    def grid(topic, message):
        publisher = afresh.node.create_publisher(type(message), topic, 5)
        publishers.append(publisher)
        wait_for(lambda: publisher.get_subscription_count() == 1, f"the listener of {topic}")

        def sent():
            stamp = time.time()
            message.header = header(stamp, message.header.frame_id)
            send(publisher, message)
            return afresh.drive(STREET, stamp=stamp)

        return cells(afresh.answered(afresh.grids, sent))

    yield grid
    for publisher in publishers:
        afresh.node.destroy_publisher(publisher)


def depth(**changes):
    """Return a depth image in which the wall is 6 m away."""
    metres = np.zeros(SHAPE, np.uint16)
    metres[ROWS, WALL] = 6000
    height, width = SHAPE
    fields = {"encoding": "16UC1", "step": 2 * width, "data": array.array("B", metres.tobytes())}
    message = Image(height=height, width=width, **fields | changes)
    message.header.frame_id = "camera_optical"
    return message


def points(**changes):
    """Return a cloud 7 m ahead, on the lines of sight to the wall."""
    y = np.arange(-2.0, -1.4, 0.05)
    places = np.stack([np.full_like(y, 7.0), y, np.full_like(y, 1.0)], axis=1).astype(np.float32)
    axes = [
        PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, n in enumerate("xyz")
    ]
    data = array.array("B", places.tobytes())
    fields = {"fields": axes, "point_step": 12, "row_step": len(data), "data": data}
    message = PointCloud2(height=1, width=len(places), **fields | changes)
    message.header.frame_id = "base_link"
    return message


@pytest.mark.parametrize("changes", [{}, {"encoding": "mono16"}, {"step": 0}])
def test_depth_places_obstacles(sensor, changes):
    _, columns = np.nonzero(sensor("depth", depth(**changes)) > 50)
    x = X_MIN + (columns + 0.5) * RESOLUTION
    assert len(x) > 0
    assert np.abs(x - 6.0).max() < 0.75


@pytest.mark.parametrize("changes", [{}, {"row_step": 0}])
def test_points_place_obstacles(sensor, changes):
    rows, columns = np.nonzero(sensor("points", points(**changes)) > 50)
    assert len(rows) > 0
    assert np.abs(X_MIN + (columns + 0.5) * RESOLUTION - 7.0).max() <= 2 * RESOLUTION
    assert np.abs(Y_MIN + (rows + 0.5) * RESOLUTION + 1.7).max() < 0.75


@pytest.mark.parametrize(
    ("topic", "message", "reason"),
    [
        ("depth", depth(encoding="mono8"), "its encoding is 'mono8'"),
        ("points", points(row_step=0, data=array.array("B", bytes(13))), "row_step 0 and 13"),
    ],
)
def test_what_cannot_be_used_is_counted_and_a_warning(sensor, car, topic, message, reason):
    """The obstacles' lower edges place them, 10 m away, as without the sensor."""
    before = int(car.health()[2][f"left_out_{topic}"])
    _, columns = np.nonzero(sensor(topic, message) > 50)
    assert np.abs(X_MIN + (columns + 0.5) * RESOLUTION - DISTANCE).max() < 0.75
    # On a busy machine the frame is shown more than once before its grid comes.
    level, _, values = car.wait_for_health(
        lambda *health: int(health[2][f"left_out_{topic}"]) > before
    )
    assert level == DiagnosticStatus.WARN
    assert values["last_left_out"].startswith(f"{topic} left out: ")
    assert reason in values["last_left_out"]


def test_another_calibration_counts_at_once(afresh):
    afresh.grid(ROAD)
    afresh.info = calibration(focal=FOCAL / 2)
    grid = cells(afresh.grid(STREET, x=50.0))
    afresh.info = calibration()
    _, columns = np.nonzero(grid > 50)
    assert np.abs(X_MIN + (columns + 0.5) * RESOLUTION - DISTANCE / 2).max() < 0.75


def test_a_calibration_that_was_sent_once_before_the_node_came_counts(car):
    assert car.transition("deactivate")
    once = car.node.create_publisher(CameraInfo, "camera_info", LATCHED)
    once.publish(calibration(focal=FOCAL / 2))
    assert car.transition("activate")
    car.wait_until_heard()
    car.info = None
    wait_for(lambda: car.drive(STREET, x=50.0) and once.get_subscription_count(), "its listener")
    now = time.time()
    wait_for(
        lambda: car.drive(STREET, x=50.0) and seconds(car.grids[-1].header.stamp) > now, "a grid"
    )
    _, columns = np.nonzero(cells(car.grids[-1]) > 50)
    assert np.abs(X_MIN + (columns + 0.5) * RESOLUTION - DISTANCE / 2).max() < 0.75
    # One that is sent with each image is heard beside it.
    car.info = calibration()
    car.grid(paint(SHAPE, "sky"), x=100.0)
    _, columns = np.nonzero(cells(car.grid(STREET, x=100.0)) > 50)
    assert np.abs(X_MIN + (columns + 0.5) * RESOLUTION - DISTANCE).max() < 0.75
    car.node.destroy_publisher(once)


def test_a_calibration_of_half_the_size_is_scaled(afresh):
    half = calibration(focal=FOCAL / 2, shape=(SHAPE[0] // 2, SHAPE[1] // 2))
    # Pixel centres: (127.5 + 0.5) / 2 - 0.5.
    half.k[2], half.k[5] = (CENTER[0] + 0.5) / 2 - 0.5, (CENTER[1] + 0.5) / 2 - 0.5
    afresh.info = half
    grid = cells(afresh.grid(STREET))
    afresh.info = calibration()
    _, columns = np.nonzero(grid > 50)
    assert np.abs(X_MIN + (columns + 0.5) * RESOLUTION - DISTANCE).max() < 0.75


def test_labels_go_on_where_the_calibration_is_another_cameras(afresh):
    afresh.info = calibration(shape=(100, 100))
    stamp = afresh.drive(STREET)
    afresh.answer_to(afresh.labels, stamp)
    _, _, values = afresh.wait_for_health(
        lambda level, message, values: "100x100" in values["last_grid_drop"]
    )
    afresh.info = calibration()
    assert "256x128" in values["last_grid_drop"]
    assert seconds(afresh.grids[-1].header.stamp) != stamp
    afresh.grid(STREET)


def test_labels_do_not_wait_for_odometry_that_stays_out(afresh):
    afresh.grid(STREET)
    _, _, before = afresh.health()
    # In time with the last one, and no odometry around it.
    stamp = afresh.show(STREET)
    afresh.answer_to(afresh.labels, stamp)
    assert seconds(afresh.grids[-1].header.stamp) != stamp
    _, _, after = afresh.wait_for_health(
        lambda level, message, values: values["grids_dropped"] != before["grids_dropped"]
    )
    assert "no odometry on /odom" in after["last_grid_drop"]
    afresh.grid(STREET)


def test_an_error_of_a_graph_is_the_networks_and_not_the_images(car):
    refused = int(car.health()[2]["refused_image"])
    car.show(np.zeros((*SHAPE, 3), np.uint8))
    level, message, values = car.wait_for_health(lambda *h: h[2]["refused_inference"] != "0")
    assert level == DiagnosticStatus.ERROR
    assert "semantic.onnx cannot run" in message
    assert int(values["refused_image"]) == refused
    car.grid(STREET)


def test_an_instance_has_a_track_and_a_place(afresh):
    instances = afresh.subscribe("~/instances", PanopticInstances)
    # The first may go before the two have met.
    wait_for(lambda: afresh.grid(STREET) and instances, "instances")
    assert afresh.set("score_threshold", -1.0) == (True, "")
    numbers, now = set(), time.time()
    for number in range(4):
        # However slow the machine is: a track ends after seconds without its instance.
        stamp = afresh.drive(STREET, stamp=now + 0.1 * number)
        answer = afresh.answer_to(instances, stamp)
        assert answer.position_frame == "base_link"
        [instance] = answer.instances
        numbers.add(instance.track_id)
        assert instance.class_name == "car"
        assert instance.position.x == pytest.approx(DISTANCE, abs=0.5)
        middle = (lateral(CAR.start) + lateral(CAR.stop)) / 2
        assert instance.position.y == pytest.approx(middle, abs=0.3)
    [number] = numbers
    assert number > 0
    # Ids last for the node's life: the same car is another track after a pause.
    assert afresh.transition("deactivate")
    assert afresh.transition("activate")
    afresh.wait_until_heard()
    [instance] = afresh.answer_to(instances, afresh.drive(STREET)).instances
    assert instance.track_id > number
    assert afresh.set("score_threshold", 1.0) == (True, "")


def test_markers_show_tracks_and_take_them_away(afresh):
    messages = afresh.subscribe("~/markers", MarkerArray)
    # Before it knows the node, the first message may pass it by.
    wait_for(lambda: afresh.node.count_publishers("/panoptic/markers"), "the node's markers")
    assert afresh.set("score_threshold", -1.0) == (True, "")
    start, frames = time.time(), itertools.count()

    # The car keeps its place in the picture: it drives as fast as the camera, 10 m/s.
    def drive():
        frame = next(frames)
        return afresh.drive(STREET, x=float(frame), stamp=start + frame / 10)

    wait_for(lambda: drive() and messages, "markers")
    assert messages[0].markers[0].action == Marker.DELETEALL

    def shown(stamp):
        found = [
            m.markers for m in messages if any(seconds(k.header.stamp) == stamp for k in m.markers)
        ]
        return found[0] if found else None

    for _ in range(15):
        stamp = drive()
        markers = wait_for(lambda stamp=stamp: shown(stamp), "the frame's markers")
    boxes, names, arrows = (
        [m for m in markers if m.ns == f"tracks/{what}"] for what in ("box", "name", "velocity")
    )
    assert [m.header.frame_id for m in markers] == ["odom"] * len(markers)
    [box], [name], [arrow] = boxes, names, arrows
    assert box.id == name.id == arrow.id
    assert name.text.startswith(f"car {box.id}")
    assert box.pose.position.x == pytest.approx(10 * (stamp - start) + DISTANCE, abs=3)
    way = arrow.points[1].x - arrow.points[0].x
    assert way == pytest.approx(10, abs=4)
    assert abs(arrow.points[1].y - arrow.points[0].y) < 3

    assert afresh.set("score_threshold", 1.0) == (True, "")

    def deleted():
        drive()
        return [
            m
            for message in messages
            for m in message.markers
            if m.action == Marker.DELETE and m.id == box.id and m.ns == "tracks/box"
        ]

    wait_for(deleted, "the track's end")
    assert not any(m.action == Marker.ADD for m in messages[-1].markers)


def test_what_the_node_says_of_the_ground(node, car):
    assert node.wait_for_line("camera pose from parameters")
    _, _, values = car.health()
    assert int(values["grids_out"]) > 0
    car.grid(STREET)
    car.wait_for_health(lambda level, message, now: float(now["latency_ground_p50_ms"]) > 0)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ground.window.resolution", 0.5, "deactivate first"),
        ("ground.costs.person", 101, "range"),
        ("ground.camera.source", "gps", "'parameters'"),
        ("ground.timeout", -0.1, "range"),
    ],
)
def test_parameters_of_the_ground_are_refused_with_a_reason(car, name, value, words):
    successful, reason = car.set(name, value)
    assert not successful
    assert words in reason
