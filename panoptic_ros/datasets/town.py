"""The procedural town's data: frames in Cityscapes' layout with the town's own truth, and bags."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from panoptic_ros.datasets.cityscapes import Cityscapes, Sample
from panoptic_ros.datasets.picture_files import read_labels
from panoptic_ros.documents import mapping, read_json

# Values of a depth image per metre, as in KITTI's depth maps; 0 is no depth.
DEPTH_SCALE = 256.0
_POSE = ("x", "y", "yaw", "time")
_LARGEST = 1e15
_ANEW = "`town` writes it anew"
# Metres of the ground's classes (road, sidewalk, terrain) above the carriageway.
GROUND_HEIGHTS = {7: 0.0, 8: 0.13, 22: 0.11}


class CameraTopics(NamedTuple):
    """Name a camera's topics in the town's bags, and its optical frame."""

    image: str
    info: str
    labels: str
    frame: str


CAMERAS = {
    "front": CameraTopics(
        "/camera/image/compressed",
        "/camera/camera_info",
        "/ground_truth/labels/compressed",
        "camera_optical_frame",
    ),
    "rear": CameraTopics(
        "/rear/image/compressed",
        "/rear/camera_info",
        "/ground_truth/rear/labels/compressed",
        "rear_optical_frame",
    ),
}
# Topics and frames of the car itself.
ODOMETRY_TOPIC = "/odom"
STATIC_TF_TOPIC = "/tf_static"
TF_TOPIC = "/tf"
BASE_FRAME, ODOM_FRAME = "base_link", "odom"


class Town(Cityscapes):
    """List rendered frames of a split, by name; errors as for Cityscapes.

    What lies beside a frame raises FileNotFoundError, or ValueError that names a broken file.
    """

    def depth(self, sample: Sample) -> np.ndarray:
        """Return depth along the optical axis, float32 [H, W], metres, 0 where there is none."""
        depth = read_labels(self._beside(sample, "depth", "depth.png"), np.uint16)
        return depth.astype(np.float32) / DEPTH_SCALE

    def camera(self, sample: Sample) -> dict:
        """Return the camera file: extrinsic and intrinsic, as in Cityscapes."""
        path = self._beside(sample, "camera", "camera.json")
        content = _entries(path, "extrinsic", "intrinsic")
        _check_numbers(content["extrinsic"], ("x", "y", "z", "roll", "pitch", "yaw"), path)
        _check_numbers(content["intrinsic"], ("fx", "fy", "u0", "v0"), path)
        return content

    def ego_pose(self, sample: Sample) -> dict:
        """Return x, y (metres), yaw (radians), speed, yaw_rate and time of the ego car."""
        path = self._beside(sample, "ego_pose", "ego_pose.json")
        content = _entries(path, *_POSE)
        _check_numbers(content, _POSE, path)
        return content

    def ground_plan(self, sample: Sample) -> tuple[dict[str, np.ndarray], dict]:
        """Return the arrays surface, classes and occupied [X, Y], and grid and boxes."""
        path = self._beside(sample, "ground_plan", "ground_plan.npz")
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in ("surface", "classes", "occupied")}
        # zipfile, zlib and NumPy each have errors of their own.
        except Exception as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        if len({array.shape for array in arrays.values()}) > 1 or arrays["surface"].ndim != 2:
            raise ValueError(f"{path} is damaged: its arrays are of different sizes")
        if any(array.dtype.kind not in "bu" for array in arrays.values()):
            raise ValueError(f"{path} is damaged: its arrays hold other than classes")
        path = path.with_suffix(".json")
        content = _entries(path, "grid", "boxes")
        _check_numbers(content["grid"], ("resolution",), path)
        _check_numbers(content["grid"], ("x_range", "y_range"), path, 2)
        if not isinstance(content["boxes"], list):
            raise ValueError(f"{path}: boxes is no list; {_ANEW}")
        for box in content["boxes"]:
            _check_numbers(box, ("id", "class_id", "yaw"), path)
            _check_numbers(box, ("center", "size"), path, 3)
            _check_numbers(box, ("velocity",), path, 2)
        return arrays, content

    def _beside(self, sample: Sample, kind: str, suffix: str) -> Path:
        path = self.root / kind / self.split / sample.image.parent.name / f"{sample.name}_{suffix}"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing; the command `town` writes it beside its image"
            )
        return path


def _entries(path: Path, *needed: str) -> dict:
    """Return a JSON file's mapping; raise ValueError for a key that is missing."""
    content = dict(mapping(read_json(path), str(path)))
    if missing := [key for key in needed if key not in content]:
        raise ValueError(f"{path}: {', '.join(missing)} missing; {_ANEW}")
    return content


def _check_numbers(content: Any, names: Iterable[str], path: Path, count: int = 0) -> None:
    """Raise ValueError for a value that is no number, or no list of `count` of them."""
    entries = mapping(content, str(path))
    for name in names:
        value = entries.get(name)
        listed: list[Any] = value if count and isinstance(value, list) else [value]
        is_number = all(isinstance(v, int | float) and abs(v) < _LARGEST for v in listed)
        if len(listed) != (count or 1) or not is_number:
            wanted = f"{count} numbers" if count else "a number"
            raise ValueError(f"{path}: {name} is {str(value)[:60]}, must be {wanted}; {_ANEW}")
