"""The procedural town's data: frames in Cityscapes' layout with the town's own truth, and bags."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from panoptic_ros.datasets.cityscapes import Cityscapes, Sample
from panoptic_ros.datasets.picture_files import read_labels
from panoptic_ros.documents import mapping, read_json

# Values of a depth image per metre, as in KITTI's depth maps; 0 is no depth.
DEPTH_SCALE = 256.0
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
        return _entries(path, "extrinsic", "intrinsic")

    def ego_pose(self, sample: Sample) -> dict:
        """Return x, y (metres), yaw (radians), speed, yaw_rate and time of the ego car."""
        path = self._beside(sample, "ego_pose", "ego_pose.json")
        return _entries(path, "x", "y", "yaw", "time")

    def ground_plan(self, sample: Sample) -> tuple[dict[str, np.ndarray], dict]:
        """Return the arrays surface, classes and occupied [X, Y], and grid and boxes."""
        path = self._beside(sample, "ground_plan", "ground_plan.npz")
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in ("surface", "classes", "occupied")}
        # zipfile, zlib and NumPy each have errors of their own.
        except Exception as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        return arrays, _entries(path.with_suffix(".json"), "grid", "boxes")

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
        raise ValueError(f"{path}: {', '.join(missing)} missing; `town` writes it anew")
    return content
