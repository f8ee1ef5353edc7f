import numpy as np
import pytest

from panoptic_ros.datasets import open_dataset
from panoptic_ros.labels import class_ids
from panoptic_ros.synthetic import facades, street_furniture, vegetation
from panoptic_ros.synthetic.old_town import build_old_town, old_town_camera, old_town_light
from panoptic_ros.synthetic.scene import SceneBuilder
from panoptic_ros.synthetic.town_camera import make_camera
from panoptic_ros.synthetic.writer import write_frame

ROAD, SIDEWALK, BUILDING, VEGETATION, SKY = 7, 8, 11, 21, 23
# The first is on hills and has bare trees, the second is flat.
HILLS, FLAT = 32, 33


@pytest.fixture(scope="module")
def frame(make_town):
    return make_town(HILLS, "oldtown").frame(0)


def test_streets_are_narrow_and_have_no_trams(make_town):
    for seed in (HILLS, FLAT):
        street = make_town(seed, "oldtown").street
        assert not street.tram
        assert street.median == 0
        assert 1.8 <= street.sidewalk <= 4.0
        seen = {*class_ids(make_town(seed, "oldtown").frame(0).labels).ravel().tolist()}
        assert {ROAD, SIDEWALK, BUILDING, SKY} <= seen
        assert 31 not in seen


def heights(town, frame):
    """Return how high above base_link's ground each pixel is, metres."""
    return town.camera.position[2] + town.camera.rays()[..., 2] * frame.depth


def test_a_hill_leaves_the_ground_plane_and_a_flat_street_does_not(make_town, frame):
    town, flat = make_town(HILLS, "oldtown"), make_town(FLAT, "oldtown")
    level = flat.frame(0)
    road = (level.labels == ROAD) & (level.depth < 60)
    assert np.abs(heights(flat, level)[road]).max() < 0.06
    far = (frame.labels == ROAD) & (frame.depth > 30)
    assert np.abs(heights(town, frame)[far]).max() > 0.3


def test_depth_on_a_hill_is_the_reliefs(make_town, frame):
    town = make_town(HILLS, "oldtown")
    relief = town.scene.actors[0].relief
    turn = relief.tilt(frame.ego.x) @ np.array(
        [
            [np.cos(frame.ego.yaw), -np.sin(frame.ego.yaw), 0],
            [np.sin(frame.ego.yaw), np.cos(frame.ego.yaw), 0],
            [0, 0, 1],
        ]
    )
    points = (town.camera.rays() * frame.depth[..., None] + town.camera.position) @ turn.T
    points += [frame.ego.x, frame.ego.y, relief.height(frame.ego.x)]
    road = (frame.labels == ROAD) & (frame.depth < 50)
    assert road.sum() > 1000
    above = points[road][:, 2] - relief.height(points[road][:, 0])
    assert np.abs(above).max() < 0.1


def test_the_plan_stays_flat(make_town, frame):
    boxes = frame.plan.boxes
    assert boxes
    # Heights of boxes are over the ground that they stand on.
    assert all(0 <= box.center[2] - box.size[2] / 2 < 0.2 for box in boxes)


def test_the_same_seed_gives_the_same_frame(make_town, frame):
    # Built anew: the fixture keeps its worlds.
    from panoptic_ros.synthetic.world import World

    world = World(HILLS, make_town(HILLS, "oldtown").camera.size, setting="oldtown")
    again = world.frame(0)
    world.close()
    np.testing.assert_array_equal(again.labels, frame.labels)
    np.testing.assert_array_equal(again.image, frame.image)


def test_a_bare_tree_is_twigs_to_see_and_a_body_to_label():
    twigs, wood, body = vegetation.bare_tree(np.random.default_rng(1))
    edges = np.linalg.norm(twigs.vertices[:, 1] - twigs.vertices[:, 0], axis=1)
    assert np.median(edges) < 0.06
    low, high = body.vertices.reshape(-1, 3).min(0), body.vertices.reshape(-1, 3).max(0)
    inside = (twigs.vertices[:, 0] >= low) & (twigs.vertices[:, 0] <= high)
    assert inside.all(axis=1).mean() > 0.95
    assert wood.vertices[..., 2].min() < 0 < low[2]


def test_the_air_between_twigs_is_that_of_what_is_behind_them(make_town, frame):
    town = make_town(HILLS, "oldtown")
    town.frame(0)
    seen = town._renderer.seen_depth()
    np.testing.assert_array_equal(seen[frame.labels == SKY], 0)
    through = (frame.labels == VEGETATION) & (seen == 0)
    behind = (frame.labels == VEGETATION) & (seen > frame.depth + 2)
    assert through.sum() > 20
    assert behind.sum() > 20
    # Sky that is seen through a crown is as bright as the sky beside it, not black.
    sky = frame.image[frame.labels == SKY].mean()
    assert np.median(frame.image[through]) > 0.5 * sky


@pytest.mark.parametrize("seed", range(4))
def test_textures_are_dark_glass_and_signs_of_their_own(seed):
    rng = np.random.default_rng(seed)
    shops = facades.glass_fronts(rng)
    assert shops.shape == (128, 512, 3)
    assert np.median(shops) < 95
    faces = [street_furniture.foreign_face(k, rng) for k in ("priority", "warning", "crossing")]
    assert all(face.shape == (128, 128, 3) and face.std() > 20 for face in faces)


def test_light_is_low_and_exposures_are_dark():
    suns = [old_town_light(np.random.default_rng(seed)) for seed in range(40)]
    elevation = np.rad2deg([np.arcsin(w.sun[2]) for w in suns])
    assert 0.25 < (elevation < 25).mean() < 0.95
    for w in suns:
        assert np.linalg.norm(w.sun) == pytest.approx(1.0)
    for seed in range(5):
        usual = make_camera(np.random.default_rng(seed), (64, 128))
        dark = old_town_camera(np.random.default_rng(seed), (64, 128))
        assert 0.5 <= dark.exposure / usual.exposure <= 1.0
        assert dark.focal == usual.focal


def test_an_old_town_lies_beside_a_town_in_one_data_set(make_town, frame, tmp_path):
    write_frame(tmp_path, "train", make_town(HILLS, "oldtown"), frame)
    (sample,) = open_dataset("town", tmp_path, "train")
    assert sample.name == f"oldtown_{HILLS:06d}_000000"
    np.testing.assert_array_equal(sample.load_instance_ids(), frame.labels)


@pytest.mark.parametrize("seed", [60, 61, 62, 65])
def test_what_is_painted_lies_on_the_road_and_in_order(seed):
    builder = SceneBuilder()
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)]
    street, _, relief = build_old_town(builder, rngs)
    heights = {"repair": 0.005, "colored": 0.008, "paint": 0.012, "paint_yellow": 0.012}
    painted = 0
    for stretch, meshes in builder.stretches.items():
        if stretch.material not in heights:
            continue
        points = np.concatenate([mesh.vertices.mean(axis=1) for mesh in meshes])
        painted += len(points)
        assert stretch.class_id == ROAD
        ground = relief.height(points[:, 0]) if relief else 0.0
        above = points[:, 2] - ground - heights[stretch.material]
        # Zebra crossings lie 2 mm higher; the middle of a piece is off a crest by millimetres.
        assert above.min() > -0.003
        assert above.max() < 0.005
        surface, _ = street.surface(*street.to_street(points[:, :2]))
        assert (surface == ROAD).all()
        assert all((mesh.normals[..., 2] > 0.9).all() for mesh in meshes)
    assert painted > 100
