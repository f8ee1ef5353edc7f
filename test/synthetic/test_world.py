import hashlib
import subprocess
import sys

import numpy as np
import pytest

from panoptic_ros.labels import CITYSCAPES, class_ids
from panoptic_ros.synthetic.street_layout import ROAD
from panoptic_ros.synthetic.world import LEAST_SHARE, group_small_instances

_HASH = """
import hashlib
from panoptic_ros.synthetic.world import World
print(hashlib.sha256(World(5, (128, 256)).frame(7).labels.tobytes()).hexdigest())
"""


def test_same_seed_same_labels_in_another_process(make_town):
    here = hashlib.sha256(make_town(5).frame(7).labels.tobytes()).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", _HASH], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert there == here


_NETWORKS_LATER = """
from panoptic_ros.synthetic import check_rendering
check_rendering()
from panoptic_ros.synthetic.world import World
World(5, (32, 64)).frame(0)
from panoptic_ros.pipeline import PanopticPipeline
import torch, torch._inductor.config
"""


def test_networks_may_be_loaded_after_a_picture_was_drawn(make_town):
    done = subprocess.run(
        [sys.executable, "-c", _NETWORKS_LATER], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_seed_draws_what_it_always_drew(make_town):
    """Results and weights name seeds: what a setting adds must not move the town's draws."""
    town = make_town(5)
    scene = town.scene
    # The last thing that each generator decides: layout, materials, plots, traffic, light, camera.
    assert town.ego(0.0).speed == pytest.approx(8.94396454081453)
    assert scene.model.tex_data[::1000].sum(dtype=int) == pytest.approx(1148978, rel=1e-4)
    np.testing.assert_allclose(scene.obstacles[-1].corners[0], [-79.0, 48.5], atol=0.1)
    np.testing.assert_allclose(scene.actors[-1].path(1.0), [30.478, 12.37, 0.13, 0.0], atol=1e-3)
    assert (len(scene.actors), len(scene.obstacles), len(scene.labels)) == (99, 267, 1600)
    assert town.weather.haze == pytest.approx(1 / 900)
    assert town.camera.vignette == pytest.approx(0.015136047153358789)


def test_another_seed_is_another_town(make_town):
    assert (make_town(5).frame(0).labels != make_town(6).frame(0).labels).mean() > 0.2


def test_every_class_appears_over_a_handful_of_seeds(make_town):
    seen = set()
    for seed in range(4, 12):
        labels, counts = np.unique(class_ids(make_town(seed).frame(0).labels), return_counts=True)
        seen |= set(labels[counts >= 10].tolist())
    assert seen == set(CITYSCAPES.ids.tolist())


def test_things_carry_instance_numbers_and_stuff_and_groups_do_not(make_town):
    image = make_town(6).frame(0).labels
    values, areas = np.unique(image, return_counts=True)
    things = {c.id for c in CITYSCAPES.things}
    assert set(class_ids(values).tolist()) <= set(CITYSCAPES.ids.tolist())
    assert {v // 1000 for v in values.tolist() if v >= 1000} <= things
    assert areas[values >= 1000].min() >= LEAST_SHARE * image.size


def test_a_rider_and_the_bike_are_two_things_in_one_place(make_town):
    town = make_town(6)
    boxes = town.frame(0).plan.boxes
    riders = [b for b in boxes if b.class_id == 25]
    bikes = np.array([b.center[:2] for b in boxes if b.class_id in (32, 33)])
    assert riders
    for rider in riders:
        assert np.linalg.norm(bikes - rider.center[:2], axis=1).min() < 0.01


def test_objects_keep_their_ids_while_they_move(make_town):
    town = make_town(8)
    frames = [town.frame(i) for i in range(4)]
    boxes = [{b.id: b for b in f.plan.boxes} for f in frames]
    lasting = set.intersection(*(set(b) for b in boxes))
    assert len(lasting) > 0.9 * len(boxes[0])
    for value in lasting:
        path = np.array([b[value].center[:2] for b in boxes])
        # At 10 Hz nothing here jumps: less than 4 m per frame is less than 144 km/h, relative.
        assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 4.0
    seen = [set(np.unique(f.labels[f.labels >= 1000]).tolist()) for f in frames]
    assert len(seen[0] & seen[3]) > 0.5 * len(seen[0])


def test_velocities_move_the_boxes(make_town):
    town = make_town(8)
    frames = [town.frame(0), town.frame(1)]
    places = [{b.id: in_world(f.ego, b.center[:2]) for b in f.plan.boxes} for f in frames]
    origin = in_world(frames[0].ego, (0.0, 0.0))
    moving = 0
    for box in frames[0].plan.boxes:
        if box.id in places[1]:
            step = in_world(frames[0].ego, box.velocity) - origin
            moving += np.hypot(*box.velocity) > 1
            np.testing.assert_allclose(places[1][box.id] - places[0][box.id], 0.1 * step, atol=0.03)
    assert moving > 3


def in_world(ego, point):
    """Return a point of base_link in the world."""
    c, s = np.cos(ego.yaw), np.sin(ego.yaw)
    return np.array([[c, -s], [s, c]]) @ np.asarray(point) + [ego.x, ego.y]


@pytest.mark.parametrize("seed", [5, 8])
def test_depth_of_the_road_is_the_ground_plane(make_town, seed):
    town = make_town(seed)
    frame = town.frame(0)
    rays = town.camera.rays()
    height = town.camera.position[2] + rays[..., 2] * frame.depth
    # Below the first metres' markings and rails the carriageway is z = 0.
    road = (frame.labels == ROAD) & (frame.depth > 0) & (frame.depth < 40)
    assert road.sum() > 500
    assert np.abs(height[road]).max() < 0.05


def test_sky_has_no_depth_and_all_else_has(make_town):
    frame = make_town(5).frame(0)
    np.testing.assert_array_equal(frame.depth == 0, frame.labels == 23)


@pytest.mark.parametrize("seed", [5, 6, 8])
def test_boxes_project_onto_the_pixels_of_their_object(make_town, seed):
    town = make_town(seed)
    frame = town.frame(0)
    checked = 0
    for box in frame.plan.boxes:
        rows, columns = np.nonzero(frame.labels == box.id)
        if len(rows) < 60:
            continue
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
        corners = signs * box.size
        c, s = np.cos(box.yaw), np.sin(box.yaw)
        corners = corners @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + box.center
        optical = (corners - np.array(town.camera.position)) @ town.camera.rotation
        depth = optical[:, 2]
        if depth.min() < 1.0:
            continue
        pixels = (optical @ town.camera.matrix.T)[:, :2] / depth[:, None]
        # Mirrors, arms and the tram's pantograph reach out of a box.
        low, high = pixels.min(0), pixels.max(0)
        slack = 0.12 * (high - low) + 3
        inside = (columns >= low[0] - slack[0]) & (columns <= high[0] + slack[0])
        inside &= (rows >= low[1] - slack[1]) & (rows <= high[1] + slack[1])
        assert inside.mean() > 0.97, box
        distance = np.median(frame.depth[rows, columns])
        assert depth.min() - 0.7 < distance < depth.max() + 0.7
        checked += 1
    assert checked >= 3


def test_image_and_labels_show_the_same_scene(make_town):
    frame = make_town(5).frame(0)
    assert frame.image.shape == (128, 256, 3)
    assert frame.image.dtype == np.uint8
    assert frame.labels.dtype == np.uint16
    sky = frame.image[frame.labels == 23].astype(float)
    road = frame.image[frame.labels == 7].astype(float)
    # The sky is the brighter and bluer of the two in every weather.
    assert sky.mean() > road.mean()


@pytest.mark.parametrize(
    ("seed", "size", "setting"),
    [(-1, (128, 256), "town"), (0, (16, 256), "town"), (0, (128, 256), "canal")],
)
def test_bad_arguments_are_refused(seed, size, setting):
    pytest.importorskip("mujoco")
    from panoptic_ros.synthetic.world import World

    with pytest.raises(ValueError, match=setting if setting == "canal" else str(seed)):
        World(seed, size, setting=setting)


@pytest.mark.parametrize(("visible", "value"), [(39, 26), (40, 26003)])
def test_an_instance_needs_forty_pixels_of_512x1024(visible: int, value: int) -> None:
    labels = np.full((512, 1024), 7, np.uint16)
    labels[100, :visible] = 26003
    grouped = group_small_instances(labels)
    assert grouped.dtype == labels.dtype
    assert (grouped[100, :visible] == value).all()
    assert (grouped == 7).sum() == 512 * 1024 - visible


def test_stuff_stays_however_small_and_instances_count_in_all_their_parts() -> None:
    labels = np.full((512, 1024), 23, np.uint16)
    labels[0, 0] = 17
    labels[10, :20] = labels[300, 500:520] = 24001
    np.testing.assert_array_equal(group_small_instances(labels), labels)
