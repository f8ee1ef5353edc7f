"""Rain and night: other pictures of the same scene, with the same truth."""

from dataclasses import replace

import numpy as np
import pytest

from panoptic_ros.synthetic.lamps import View, street_spots
from panoptic_ros.synthetic.rain import Wetness
from panoptic_ros.synthetic.weather import pick

ROAD, BUILDING = 7, 11
SIZE = (128, 256)


@pytest.fixture(params=[(5, "town"), (5006, "highway")], ids=["town", "highway"])
def scene(request, make_town):
    """Return the day's frame, and a function that gives the same in another weather."""
    from panoptic_ros.synthetic.world import World

    seed, setting = request.param
    day = make_town(seed, setting).frame(7)

    def draw(weather):
        world = World(seed, SIZE, setting=setting, weather=weather)
        frame = world.frame(7)
        world.close()
        return frame

    return day, draw


def test_weather_changes_the_picture_alone(scene):
    day, draw = scene
    frames = {weather: draw(weather) for weather in ("rain", "night")}
    for frame in frames.values():
        np.testing.assert_array_equal(frame.labels, day.labels)
        np.testing.assert_array_equal(frame.depth, day.depth)
        assert (frame.image != day.image).mean() > 0.8
        assert frame.plan.boxes == day.plan.boxes
    means = {weather: frame.image.mean() for weather, frame in frames.items()}
    assert means["night"] < 0.7 * min(means["rain"], day.image.mean())
    sky = day.labels == 23
    assert frames["night"].image[sky].mean() < 60
    # Lamps and windows: a night is not merely a dark day.
    assert frames["night"].image.max() > 150


def test_a_frame_is_the_same_each_time(scene):
    _, draw = scene
    np.testing.assert_array_equal(draw("night").image, draw("night").image)


def test_the_day_is_what_it_always_was(make_town):
    """Results and weights name seeds; taken before there was any other weather."""
    town = make_town(5).frame(7).image.astype(float)
    highway = make_town(5006, "highway").frame(7).image.astype(float)
    np.testing.assert_allclose(town.mean((0, 1)), TOWN, atol=0.3)
    np.testing.assert_allclose(highway.mean((0, 1)), HIGHWAY, atol=0.3)


TOWN, HIGHWAY = [85.46, 79.81, 81.5], [121.76, 134.12, 123.07]


def test_any_is_mostly_day_and_the_same_in_each_run():
    def drawn():
        return [pick("any", np.random.default_rng(seed)) for seed in range(400)]

    names, counts = np.unique(drawn(), return_counts=True)
    assert names.tolist() == ["day", "night", "rain"]
    np.testing.assert_allclose(counts / 400, [0.6, 0.2, 0.2], atol=0.07)
    assert drawn() == drawn()


def test_any_comes_to_the_picture_of_the_weather_by_its_name(make_town):
    make_town(5)  # Skips where nothing can be rendered.
    from panoptic_ros.synthetic.world import World

    found = {}
    for seed in range(30):
        name = pick("any", np.random.default_rng(np.random.SeedSequence(seed).spawn(7)[6]))
        found.setdefault(name, seed)
    assert set(found) == {"day", "rain", "night"}
    for name, seed in found.items():
        # Both are there at once: each draws into its own buffer.
        drawn, named = (World(seed, (32, 64), weather=w) for w in ("any", name))
        assert drawn.weather_name == name
        np.testing.assert_array_equal(drawn.frame(0).image, named.frame(0).image)
        drawn.close()
        named.close()


def test_another_weather_is_refused():
    pytest.importorskip("mujoco")
    from panoptic_ros.synthetic.world import World

    with pytest.raises(ValueError, match="weather 'snow' must be one of day, rain, night, any"):
        World(0, SIZE, weather="snow")


def looking_ahead(color):
    """Return a view along x from 1.5 m above a road; a wall at 20 m from the horizon upwards."""
    h, w = SIZE
    focal = 200.0
    v, u = np.mgrid[:h, :w].astype(np.float32)
    right, down = (u - (w - 1) / 2) / focal, (v - (h - 1) / 2) / focal
    rays = np.stack([np.ones_like(u), -right, -down], axis=-1)
    drop = np.where(down > 0, down, np.float32(1e-6))
    is_road = 1.5 / drop < 20
    depth = np.where(is_road, 1.5 / drop, 20).astype(np.float32)
    rotation = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    labels = np.where(is_road, ROAD, BUILDING).astype(np.uint16)
    glow = np.zeros(SIZE, np.float32)
    eye = np.array([0.0, 0.0, 1.5])
    return View(color, labels, depth, glow, rays, eye, rotation, np.eye(3), focal, 0.0)


def test_a_wet_road_mirrors_what_stands_on_it_most_at_a_grazing_angle():
    view = looking_ahead(np.zeros((*SIZE, 3), np.uint8))
    road = view.labels == ROAD
    light = np.zeros((*SIZE, 3), np.float32)
    light[~road] = [200, 0, 0]
    wet = Wetness(np.random.default_rng(3), 0.8).mirror(light.copy(), view)
    np.testing.assert_array_equal(wet[..., 1:], 0)
    first = int(np.flatnonzero(road.any(axis=1))[0])
    far, near = wet[first + 2 : first + 8, :, 0].mean(), wet[-8:, :, 0].mean()
    assert far > 50
    assert near < 0.7 * far
    np.testing.assert_array_equal(wet[: first - 1], light[: first - 1])


def test_lamps_are_seen_unless_something_is_before_them():
    view = looking_ahead(np.zeros((*SIZE, 3), np.uint8))
    lamps = np.array([[15.0, 1.0, 3.0], [40.0, 1.0, 3.0], [-9.0, 0.0, 3.0]])
    (spot,) = street_spots(view, lamps, np.ones(3))
    assert spot.u == pytest.approx(127.5 - 200 / 15)
    assert spot.v == pytest.approx(63.5 - 200 * 1.5 / 15)
    sky = replace(view, depth=np.zeros(SIZE, np.float32))
    assert len(street_spots(sky, lamps, np.ones(3))) == 2
