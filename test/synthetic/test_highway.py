import cv2
import numpy as np
import pytest

from panoptic_ros.datasets import open_dataset
from panoptic_ros.labels import class_ids
from panoptic_ros.synthetic.dashcam import Dashcam, make_dashcam
from panoptic_ros.synthetic.highway import make_light
from panoptic_ros.synthetic.highway_layout import make_highway
from panoptic_ros.synthetic.street_layout import END, START
from panoptic_ros.synthetic.writer import write_frame

ROAD, TERRAIN, SKY = 7, 22, 23
SEED = 5006


@pytest.mark.parametrize("seed", range(8))
def test_a_highway_is_road_and_terrain_without_a_step(seed):
    road = make_highway(np.random.default_rng(seed))
    s, t = np.linspace(START, END, 60)[:, None], np.linspace(-40, 40, 801)
    classes, height = road.surface(s, t)
    paved = (np.abs(t) >= road.grass) & (np.abs(t) < road.kerb)
    np.testing.assert_array_equal(classes, np.where(paved, ROAD, TERRAIN) + 0 * s)
    assert not height[:, paved].any()
    # 0.1 m to the side the ground rises by no more than a steep bank does.
    assert np.abs(np.diff(height, axis=1)).max() < 0.13
    assert np.abs(road.lane(road.lanes - 1)) + road.lane_width / 2 <= road.edge + 1e-9


def test_motorways_and_country_roads_come_in_all_kinds():
    roads = [make_highway(np.random.default_rng(seed)) for seed in range(60)]
    assert {r.lanes for r in roads} == {1, 2, 3, 4}
    assert {r.barrier for r in roads if r.is_motorway} == {"concrete", "rail", "none"}
    assert all(r.barrier == "none" and r.grass == 0 for r in roads if not r.is_motorway)


@pytest.fixture(scope="module")
def frame(make_town):
    return make_town(SEED, "highway").frame(0)


def test_classes_of_a_highway(make_town, frame):
    seen = {*class_ids(frame.labels).ravel().tolist()}
    seen |= {*class_ids(make_town(5000, "highway").frame(40).labels).ravel().tolist()}
    # No pavements, traffic lights, persons, trams or bicycles.
    assert not seen & {8, 19, 24, 31, 33}
    assert {0, ROAD, 12, 13, 17, TERRAIN, 21, SKY, 26} <= seen


def test_depth_of_the_highway_is_the_ground_plane(make_town, frame):
    camera = make_town(SEED, "highway").camera
    height = camera.position[2] + camera.rays()[..., 2] * frame.depth
    near = (frame.labels == ROAD) & (frame.depth < 40)
    assert near.sum() > 3000
    assert np.abs(height[near]).max() < 0.05


def test_the_bonnet_has_neither_class_nor_depth(frame):
    np.testing.assert_array_equal(frame.depth == 0, (frame.labels == SKY) | (frame.labels == 0))
    assert (frame.labels[-1] == 0).sum() > 100


def test_the_ground_plan_holds_what_stands_in_the_middle_and_at_the_edge(make_town, frame):
    plan, street = frame.plan, make_town(SEED, "highway").street
    assert set(np.unique(plan.surface)) <= {ROAD, TERRAIN}
    assert set(np.unique(plan.classes)) & {12, 13}
    # The ego car's lane, 10 m ahead: x from -6.4, y from -25.6, cells of 0.2 m.
    assert plan.surface[82, 128] == ROAD
    assert street.speed == pytest.approx(frame.ego.speed, rel=0.05)


def test_a_dashcam_covers_the_lower_edge_and_compresses():
    bonnet = np.array([[False, False], [True, True]])
    camera = Dashcam(bonnet, np.full((2, 2, 3), 9, np.uint8), quality=30)
    color, labels = np.full((2, 2, 3), 200, np.uint8), np.full((2, 2), ROAD, np.uint16)
    camera.cover(color, labels, np.full((2, 2), 5.0, np.float32))
    assert labels.tolist() == [[ROAD, ROAD], [0, 0]]
    assert color[..., 0].tolist() == [[200, 200], [9, 9]]
    grain = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    assert (camera.compress(grain) != grain).mean() > 0.5


def test_no_bonnet_is_seen_to_the_rear():
    rngs = [np.random.default_rng(seed) for seed in range(20)]
    assert not any(make_dashcam(r, (32, 64), looks_back=True)[1].bonnet.any() for r in rngs)
    rngs = [np.random.default_rng(seed) for seed in range(20)]
    assert 3 < sum(make_dashcam(r, (32, 64))[1].bonnet.any() for r in rngs) < 17


def test_light_is_never_negative_and_dusk_comes():
    lights = [make_light(np.random.default_rng(seed)) for seed in range(40)]
    assert min(w.sunlight.min() for w in lights) > 0
    assert min(w.zenith.mean() for w in lights) < 70 < max(w.zenith.mean() for w in lights)


def test_both_settings_lie_in_one_data_set(make_town, frame, tmp_path):
    write_frame(tmp_path, "train", make_town(SEED, "highway"), frame)
    write_frame(tmp_path, "train", make_town(6), make_town(6).frame(0))
    for name in ("town", "cityscapes"):
        data = open_dataset(name, tmp_path, "train")
        assert [s.name for s in data] == [f"highway_{SEED:06d}_000000", "town_000006_000000"]
        np.testing.assert_array_equal(data[0].load_instance_ids(), frame.labels)
    assert cv2.imread(str(data[0].label_ids), cv2.IMREAD_UNCHANGED).min() == 0
    depth = open_dataset("town", tmp_path, "train").depth(data[0])
    near = (frame.depth > 0) & (frame.depth < 250)
    np.testing.assert_allclose(depth[near], frame.depth[near], atol=1 / 512)
