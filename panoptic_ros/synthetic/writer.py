"""Write town frames to disk in the layout of Cityscapes; docs/town.md describes it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from panoptic_ros.datasets.picture_files import write_png
from panoptic_ros.datasets.town import DEPTH_SCALE
from panoptic_ros.documents import mapping, read_json
from panoptic_ros.labels import class_ids
from panoptic_ros.synthetic.ground_plan import RESOLUTION, X_RANGE, Y_RANGE, GroundPlan
from panoptic_ros.synthetic.world import RATE, TownFrame, World
from panoptic_ros.whole_files import replacing, write_file

# The fastest: zlib's higher levels cost more time than drawing the frame does.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def write_frame(root: Path, split: str, town: World, frame: TownFrame) -> Path:
    """Write a frame and its truth below a root folder; return the path of its image.

    The image comes last and under its name only when complete: a listing of images finds
    everything else beside them. Raise OSError where a file cannot be written.
    """

    def path(kind: str, suffix: str) -> Path:
        return _path(root, kind, split, town.setting, town.seed, frame.index, suffix)

    write_png(path("gtFine", "gtFine_instanceIds.png"), frame.labels, _PNG)
    labels = class_ids(frame.labels).astype(np.uint8)
    write_png(path("gtFine", "gtFine_labelIds.png"), labels, _PNG)
    write_png(path("depth", "depth.png"), encode_depth(frame.depth), _PNG)
    _write_json(path("camera", "camera.json"), town.camera.to_cityscapes())
    made_of = {"size": town.camera.size, "weather": town.weather_name}
    pose = {**asdict(frame.ego), "time": frame.time, "rate": RATE, **made_of}
    _write_json(path("ego_pose", "ego_pose.json"), pose)
    write_ground_plan(path("ground_plan", "ground_plan.npz"), frame.plan)
    image = path("leftImg8bit", "leftImg8bit.png")
    write_png(image, frame.image, _PNG)
    return image


def former_frame(
    root: Path, split: str, setting: str, seed: int, index: int
) -> tuple[Path, list[int], str] | None:
    """Return path, size and weather of a frame that `write_frame` left; None where it left none.

    None, too, where that is not known: a new frame makes good what is damaged.
    """
    try:
        path = _path(root, "ego_pose", split, setting, seed, index, "ego_pose.json")
        content = mapping(read_json(path), str(path))
        return path, [*map(int, content["size"])], content["weather"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _path(
    root: Path, kind: str, split: str, setting: str, seed: int, index: int, suffix: str
) -> Path:
    # CITY_SEQUENCE_FRAME_KIND, as Cityscapes names its files.
    return root / kind / split / setting / f"{setting}_{seed:06d}_{index:06d}_{suffix}"


def encode_depth(depth: np.ndarray) -> np.ndarray:
    """Return metres (0: none) as uint16, DEPTH_SCALE per metre; farther than 256 m is 0."""
    scaled = np.round(depth * DEPTH_SCALE)
    return np.where(scaled > np.iinfo(np.uint16).max, 0, scaled).astype(np.uint16)


def write_ground_plan(path: Path, plan: GroundPlan) -> None:
    """Write a ground plan: arrays as npz, boxes and geometry as json beside it."""
    arrays = {name: getattr(plan, name) for name in ("surface", "classes", "occupied")}
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)
    grid = {"resolution": RESOLUTION, "x_range": X_RANGE, "y_range": Y_RANGE}
    boxes = [asdict(b) for b in plan.boxes]
    _write_json(path.with_suffix(".json"), {"grid": grid, "boxes": boxes})


def _write_json(path: Path, content: dict) -> None:
    write_file(path, json.dumps(content, separators=(",", ":"), default=float))
