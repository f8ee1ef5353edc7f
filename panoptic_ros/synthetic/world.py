"""A town by its seed, and what the ego car's camera sees in it at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR, UNLABELED, class_ids
from panoptic_ros.synthetic import buildings, people, street_furniture, vegetation, vehicles
from panoptic_ros.synthetic import street_surface as ground
from panoptic_ros.synthetic.compiler import compile_scene
from panoptic_ros.synthetic.dashcam import Dashcam, make_dashcam
from panoptic_ros.synthetic.ego_drive import EgoPose, Plan, make_plan
from panoptic_ros.synthetic.ground_plan import GroundPlan, survey
from panoptic_ros.synthetic.highway import build_highway, make_light
from panoptic_ros.synthetic.lamps import View, find_lamps
from panoptic_ros.synthetic.mesh import rotation_z
from panoptic_ros.synthetic.night import Night, light_windows
from panoptic_ros.synthetic.old_town import build_old_town, old_town_camera, old_town_light
from panoptic_ros.synthetic.plots import Plots
from panoptic_ros.synthetic.rain import Rain
from panoptic_ros.synthetic.relief import Relief
from panoptic_ros.synthetic.render import Renderer
from panoptic_ros.synthetic.scene import SceneBuilder
from panoptic_ros.synthetic.street_layout import Street, make_street
from panoptic_ros.synthetic.town_camera import add_air, develop, make_camera
from panoptic_ros.synthetic.traffic import Traffic
from panoptic_ros.synthetic.weather import make_weather, pick

SETTINGS = ("town", "highway", "oldtown")
RATE = 10.0
"""Frames per second of a sequence."""
# 40 pixels of 512 x 1024. Cityscapes' instance benchmark leaves out what is under 100 pixels
# of 1024 x 2048, and its annotators outline what they cannot tell apart as a group.
LEAST_SHARE = 40 / (512 * 1024)


@dataclass(frozen=True)
class TownFrame:
    """Hold one frame and its truth.

    image: uint8 [H, W, 3], RGB; labels: uint16 [H, W], Cityscapes instance ids;
    depth: float32 [H, W], metres along the optical axis, 0 for sky; time: seconds.
    """

    index: int
    time: float
    image: np.ndarray
    labels: np.ndarray
    depth: np.ndarray
    ego: EgoPose
    plan: GroundPlan


class World:
    """Build the town, or the highway, of a seed once; draw it at any time of its drive.

    The same seed, size, camera and setting give the same labels, to the byte. camera: front or
    rear, of `datasets.town.CAMERAS`; setting: one of SETTINGS; weather: one of
    `weather.WEATHERS`, which changes the pictures alone. Raise ValueError for a negative
    seed, an image of less than 32 x 32 pixels, another setting or weather.
    """

    def __init__(
        self,
        seed: int,
        size: tuple[int, int] = (512, 1024),
        camera: str = "front",
        setting: str = "town",
        weather: str = "day",
    ) -> None:
        if seed < 0 or min(size) < 32:
            raise ValueError(f"seed {seed} must be >= 0 and size {size} at least 32 x 32")
        if setting not in SETTINGS:
            raise ValueError(f"setting {setting!r} must be one of {', '.join(SETTINGS)}")
        self.seed, self.camera_name, self.setting = seed, camera, setting
        # One generator per concern: a change in one leaves the others' draws as they are.
        rngs = _generators(seed)
        self.weather_name = pick(weather, rngs[6])
        builder = SceneBuilder()
        self.street: Street
        self._dashcam: Dashcam | None = None
        self._relief: Relief | None = None
        looks_back = camera == "rear"
        people.add_materials(builder)
        if setting == "highway":
            self.street, self._drive = build_highway(builder, rngs)
            self.weather = make_light(rngs[4])
            self.camera, self._dashcam = make_dashcam(rngs[5], size, looks_back=looks_back)
        elif setting == "oldtown":
            self.street, self._drive, self._relief = build_old_town(builder, rngs)
            self.weather = old_town_light(rngs[4])
            self.camera = old_town_camera(rngs[5], size, looks_back=looks_back)
        else:
            self.street, self._drive = _build_town(builder, rngs)
            self.weather = make_weather(rngs[4])
            self.camera = make_camera(rngs[5], size, looks_back=looks_back)
        self._condition: Rain | Night | None = None
        if self.weather_name == "rain":
            self._condition = Rain(self.weather, rngs[6], find_lamps(builder))
        elif self.weather_name == "night":
            self._condition = Night(self.weather, rngs[6], find_lamps(builder))
            light_windows(builder, rngs[6])
        if self._condition:
            self.weather = self._condition.weather
        self.scene = compile_scene(builder)
        self._renderer = Renderer(self.scene, self.camera, self.weather)
        self._rays = self.camera.rays()

    def ego(self, time: float) -> EgoPose:
        """Return the ego car's pose at a time in seconds."""
        drive, street = self._drive, self.street
        s = drive.ego_start + drive.ego_speed * time
        t = -street.lane(drive.ego_lane)
        x, y = street.to_world(s, t)
        bend = float(street.heading(s + 0.5) - street.heading(s - 0.5))
        # On the outside of a bend the same s takes a longer way.
        speed = drive.ego_speed * (1 - bend * t)
        return EgoPose(float(x), float(y), float(street.heading(s)), speed, bend * drive.ego_speed)

    def frame(self, index: int) -> TownFrame:
        """Return the frame of an index, at index / RATE seconds."""
        time = index / RATE
        ego = self.ego(time)
        place, turn = np.array([ego.x, ego.y, 0.0]), rotation_z(ego.yaw)
        if self._relief:
            place[2] = self._relief.height(ego.x)
            turn = self._relief.tilt(ego.x) @ turn
        position = turn @ np.asarray(self.camera.position) + place
        rotation = turn @ self.camera.rotation
        self.scene.move(time, position, rotation[:, 2])
        color, labels, depth = self._renderer.draw(position, rotation)
        rays = self._rays @ turn.T.astype(np.float32)
        grain = np.random.default_rng([self.seed, index])
        if self._dashcam:
            self._dashcam.cover(color, labels, depth)
        seen = depth
        if self.setting == "oldtown":  # towns and highways keep the frames that they always had
            seen = self._renderer.seen_depth()
        if self._condition:
            glow, focal = self._renderer.glow(), self.camera.focal
            view = View(color, labels, seen, glow, rays, position, rotation, turn, focal, time)
            light = add_air(self._condition.light(view), seen, rays, self.weather)
            light = self._condition.finish(light, view, grain)
            image = develop(light, self._condition.camera(self.camera), grain)
        else:
            image = develop(add_air(color, seen, rays, self.weather), self.camera, grain)
        if self._dashcam:
            image = self._dashcam.compress(image)
            depth[labels == UNLABELED] = 0.0
        plan = survey(self.scene, self.street, ego, time)
        labels = group_small_instances(labels)
        return TownFrame(index, time, image, labels, depth, ego, plan)

    def close(self) -> None:
        """Free the renderer's memory."""
        self._renderer.close()


def weather_of(seed: int, weather: str) -> str:
    """Return what a seed's `World` has as `weather_name`, without building it."""
    return pick(weather, _generators(seed)[6])


def _generators(seed: int) -> list[np.random.Generator]:
    return [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(7)]


def _build_town(builder: SceneBuilder, rngs: Sequence[np.random.Generator]) -> tuple[Street, Plan]:
    """Fill a builder with a town; return its street and the ego car's drive."""
    street = make_street(rngs[0])
    drive = make_plan(street, rngs[0])
    for module in (ground, buildings, vegetation, street_furniture, vehicles):
        module.add_materials(builder, rngs[1])
    ground.add_ground(builder, street)
    ground.add_far_field(builder)
    ground.add_markings(builder, street, rngs[2])
    Plots(builder, street, rngs[2]).fill("green" if drive.green else "red")
    Traffic(builder, street, drive, rngs[3]).populate()
    return street, drive


def group_small_instances(labels: np.ndarray) -> np.ndarray:
    """Return a label image whose instances of too few visible pixels carry their class id.

    labels: uint16 [H, W], class ids, and class_id * 1000 + n for instances. An instance is
    too small below LEAST_SHARE of the image; where more of it is seen, it keeps its id.
    """
    areas = np.bincount(labels.ravel())
    values = np.arange(len(areas), dtype=labels.dtype)
    small = (values >= INSTANCE_DIVISOR) & (areas < LEAST_SHARE * labels.size)
    return np.where(small, class_ids(values), values)[labels]
