"""A road and one car on it, drawn by its geometry, in the town's files."""

import json

import cv2
import numpy as np

from panoptic_ros.labels import class_ids
from panoptic_ros.synthetic.ground_plan import (
    RESOLUTION,
    X_RANGE,
    Y_RANGE,
    GroundPlan,
    ObjectBox,
    grid_shape,
)
from panoptic_ros.synthetic.writer import encode_depth, write_ground_plan

SIZE, FOCAL, HEIGHT = (256, 512), 360.0, 1.5
ROAD, SKY, CAR = 7, 23, 26001
# The car's near face, its length, half its width and its height, metres; x in the world.
FACE, LENGTH, HALF_WIDTH, CAR_HEIGHT = 12.0, 4.0, 1.0, 1.4
STEP = 0.5


def write_frame(root, split, seed, index):
    """Write a frame in which the camera, above base_link, has come index * STEP metres."""
    name = f"town_{seed:06d}_{index:06d}"
    labels, depth = view(FACE - index * STEP)
    plan = ground_plan(FACE - index * STEP)

    def path(kind, suffix):
        folder = root / kind / split / "town"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}_{suffix}"

    cv2.imwrite(str(path("gtFine", "gtFine_instanceIds.png")), labels)
    cv2.imwrite(str(path("gtFine", "gtFine_labelIds.png")), class_ids(labels).astype(np.uint8))
    cv2.imwrite(str(path("depth", "depth.png")), encode_depth(depth))
    # The picture carries the label: a perfect network reads it from there.
    picture = np.dstack([labels % 256, labels // 256, labels * 0]).astype(np.uint8)
    cv2.imwrite(str(path("leftImg8bit", "leftImg8bit.png")), picture)
    v0, u0 = (SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2
    intrinsic = {"fx": FOCAL, "fy": FOCAL, "u0": u0, "v0": v0}
    extrinsic = {"x": 0.0, "y": 0.0, "z": HEIGHT, "roll": 0.0, "pitch": 0.0, "yaw": 0.0}
    calibration = {"intrinsic": intrinsic, "extrinsic": extrinsic}
    path("camera", "camera.json").write_text(json.dumps(calibration))
    pose = {"x": index * STEP, "y": 0.0, "yaw": 0.0, "time": 0.1 * index}
    path("ego_pose", "ego_pose.json").write_text(json.dumps(pose))
    write_ground_plan(path("ground_plan", "ground_plan.npz"), plan)


def network(picture):
    """Return the label image that a picture carries."""
    return picture[..., 2] + np.uint16(256) * picture[..., 1]


def view(face):
    """Return labels and depth of road and car, by the rays of a level camera."""
    v, u = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    down, right = (v - (SIZE[0] - 1) / 2) / FOCAL, (u - (SIZE[1] - 1) / 2) / FOCAL
    with np.errstate(divide="ignore"):
        depth = np.where(down > 0, HEIGHT / down, 0)
    depth[depth > 200] = 0
    labels = np.where(depth > 0, ROAD, SKY).astype(np.uint16)
    on_car = (np.abs(right * face) <= HALF_WIDTH) & (down * face <= HEIGHT)
    on_car &= down * face >= HEIGHT - CAR_HEIGHT
    labels[on_car], depth[on_car] = CAR, face
    return labels, depth.astype(np.float32)


def ground_plan(face):
    surface = np.full(grid_shape(), ROAD, np.uint8)
    x = X_RANGE[0] + (np.arange(surface.shape[0]) + 0.5) * RESOLUTION
    y = Y_RANGE[0] + (np.arange(surface.shape[1]) + 0.5) * RESOLUTION
    on_car = (x[:, None] > face) & (x[:, None] < face + LENGTH) & (np.abs(y) < HALF_WIDTH)
    center = (face + LENGTH / 2, 0.0, CAR_HEIGHT / 2)
    box = ObjectBox(CAR, 26, center, (LENGTH, 2 * HALF_WIDTH, CAR_HEIGHT), 0.0, (0.0, 0.0))
    classes = np.where(on_car, 26, surface).astype(np.uint8)
    return GroundPlan(surface, classes, on_car, [box])
