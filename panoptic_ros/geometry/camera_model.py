"""Pinhole and fisheye cameras as sensor_msgs/CameraInfo describes them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np

# Lengths of D that each distortion model takes. The first two are one model to OpenCV, of which
# calibrations use either name for any length; without D it bends nothing.
_OPENCV_LENGTHS = (0, 4, 5, 8, 12, 14)
_COEFFICIENTS = {
    "plumb_bob": _OPENCV_LENGTHS,
    "rational_polynomial": _OPENCV_LENGTHS,
    "equidistant": (4,),
}
# What others call them: OpenCV, COLMAP, Kalibr, librealsense, Isaac Sim.
_FISHEYES = ("fisheye", "kannala_brandt", "kannala_brandt4", "equi", "opencv_fisheye")
_BROWNS = ("radtan", "radial_tangential", "brown_conrady", "opencv", "opencv_pinhole")
_OTHER_NAMES = dict.fromkeys(_FISHEYES, "equidistant") | dict.fromkeys(_BROWNS, "plumb_bob")
# Hand-written and simulated cameras that bend nothing.
_STRAIGHT_NAMES = ("none", "pinhole")
_NAMES = (*_COEFFICIENTS, *_OTHER_NAMES, *_STRAIGHT_NAMES)
# Relative difference of the ratios of width and height.
_ASPECT_TOLERANCE = 0.01
_CONVERGED = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 100, 1e-12)
# Largest angle to the optical axis, radians.
_WIDEST = np.deg2rad(89.0)
# Pixels and coefficients beyond these are of no camera, and overflow where they are used.
_SMALLEST_FOCAL, _LARGEST_NUMBER = 1e-3, 1e9
# Edges of a picture beyond this, in focal lengths from the centre (89.4 degrees of a pinhole, and
# 1.6 are 90 of a fisheye), are of a K that is a placeholder, or in shares of the picture.
_FARTHEST_EDGE = 100.0
# Skew, pixels, that K may have unused: what a calibration gives of square pixels.
_LARGEST_SKEW = 1.0
_NO_TURN = np.zeros(3)


@dataclass(frozen=True, eq=False)
class CameraModel:
    """Describe a calibrated camera and the part of its sensor that a picture shows.

    width, height: of the calibrated sensor, pixels; K: float [3, 3]; model: "plumb_bob",
    "rational_polynomial", "equidistant" (or another name of it, "fisheye" say), "none"; D: its
    coefficients, OpenCV's order, empty for none;
    roi: x, y, width, height on the sensor, pixels, or None; binning: sensor pixels per pixel
    of the picture, along x and y. Integer coordinates are the centres of pixels.
    Raise ValueError that names the field and its value.
    Format: sensor_msgs/CameraInfo, REP-104.
    """

    width: int
    height: int
    K: np.ndarray
    model: str = "plumb_bob"
    D: np.ndarray = field(default_factory=lambda: np.zeros(0))
    roi: tuple[int, int, int, int] | None = None
    binning: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", np.asarray(self.K, np.float64).reshape(-1))
        object.__setattr__(self, "D", np.asarray(self.D, np.float64).reshape(-1))
        self._rename()
        self._check()
        object.__setattr__(self, "K", self.K.reshape(3, 3))

    @classmethod
    def from_camera_info(cls, info: Any) -> CameraModel:
        """Read a sensor_msgs/CameraInfo of rclpy or rosbags (fields as in ROS 2)."""
        x, y, width, height = (
            int(getattr(info.roi, side)) for side in ("x_offset", "y_offset", "width", "height")
        )
        return cls(
            width=int(info.width),
            height=int(info.height),
            K=info.k,
            model=str(info.distortion_model),
            D=info.d,
            roi=(x, y, width, height) if min(width, height) > 0 else None,
            binning=(max(int(info.binning_x), 1), max(int(info.binning_y), 1)),
        )

    @classmethod
    def calibrated(cls, info: Any, size: tuple[int, int]) -> CameraModel:
        """Return the camera of pictures of a size (H, W) by its sensor_msgs/CameraInfo.

        Raise ValueError where the calibration cannot be used, or is not of such pictures.
        """
        try:
            return cls.from_camera_info(info).of_pictures(size)
        except ValueError as error:
            raise ValueError(f"camera_info cannot be used: {error}") from None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the picture, after region of interest and binning."""
        _, _, width, height = self._region
        return height // self.binning[1], width // self.binning[0]

    @cached_property
    def matrix(self) -> np.ndarray:
        """Intrinsic matrix of the picture, after region of interest and binning, [3, 3]."""
        x, y, _, _ = self._region
        return _resampled(self.K, (x, y), (1 / self.binning[0], 1 / self.binning[1]))

    def scaled(self, size: tuple[int, int]) -> CameraModel:
        """Return the camera whose whole picture was resized to (H, W)."""
        if min(size) < 1:
            raise ValueError(f"picture size {size} (H, W) must be positive")
        if tuple(size) == self.size:
            return self
        return _scaled(self, (size[0], size[1]))

    def of_pictures(self, size: tuple[int, int]) -> CameraModel:
        """Return the camera of its whole pictures at a size (H, W); ValueError for another shape.

        What sides differ by as they are rounded to pixels is no other shape.
        """
        if not same_shape(size, self.size):
            (height, width), (own_height, own_width) = size, self.size
            raise ValueError(
                f"camera_info is of {own_width}x{own_height} pixels (region of interest and "
                f"binning counted), the images have {width}x{height}: another shape, so it is "
                "not theirs"
            )
        return self.scaled(size)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels [N, 2] (x, y) of points [N, 3] in the optical frame, and bool [N].

        False: behind the camera, beyond what the lens model describes, or outside the picture;
        such pixels are meaningless.
        """
        points = np.asarray(points, np.float64).reshape(-1, 3)
        seen = points[:, 2] > 0
        slope = points[:, :2] / np.where(seen, points[:, 2], 1.0)[:, None]
        seen &= np.hypot(slope[:, 0], slope[:, 1]) < self._largest_slope
        slope[~seen] = 0.0
        pixels = self._distorted(slope)
        height, width = self.size
        inside = (pixels > -0.5) & (pixels < [width - 0.5, height - 0.5])
        return pixels, seen & inside.all(axis=1)

    def flat_index(self, pixels: np.ndarray) -> np.ndarray:
        """Return the index in the flattened picture, intp [N], of pixels [N, 2] (x, y) in it."""
        columns, rows = np.rint(pixels).astype(np.intp).T
        # A point just above -0.5 or below the last half rounds into the picture's outermost pixel.
        height, width = self.size
        return rows.clip(0, height - 1) * width + columns.clip(0, width - 1)

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Return the direction [N, 3] (optical frame, z = 1) of each pixel [N, 2] (x, y)."""
        pixels = np.asarray(pixels, np.float64).reshape(-1, 2)
        rays = np.ones((len(pixels), 3))
        if not self._is_distorted:
            rays[:, :2] = (pixels - self.matrix[:2, 2]) / np.diag(self.matrix)[:2]
        elif len(pixels):
            rays[:, :2] = self._undistorted(pixels[:, None])[:, 0]
        return rays

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CameraModel) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @cached_property
    def _key(self) -> tuple:
        coefficients = self.K.tobytes(), self.D.tobytes()
        return self.width, self.height, *coefficients, self.model, self.roi, self.binning

    @property
    def _region(self) -> tuple[int, int, int, int]:
        return self.roi or (0, 0, self.width, self.height)

    @property
    def _is_distorted(self) -> bool:
        # An equidistant lens bends rays even where all of its coefficients are 0.
        return self.model == "equidistant" or bool(self.D.any())

    def _distorted(self, slope: np.ndarray) -> np.ndarray:
        if not self._is_distorted:
            return slope * np.diag(self.matrix)[:2] + self.matrix[:2, 2]
        if not len(slope):
            return slope
        points = np.concatenate([slope, np.ones((len(slope), 1))], axis=1)[:, None]
        return self._opencv_project(points, self.matrix, self.D)

    def _opencv_project(self, points: np.ndarray, matrix: np.ndarray, d: np.ndarray) -> np.ndarray:
        project = cv2.fisheye.projectPoints if self.model == "equidistant" else cv2.projectPoints
        return project(points, _NO_TURN, _NO_TURN, matrix, d)[0].reshape(-1, 2)

    def _undistorted(self, pixels: np.ndarray) -> np.ndarray:
        if self.model == "equidistant":
            return cv2.fisheye.undistortPoints(pixels, self.matrix, self.D)
        if hasattr(cv2, "undistortPointsIter"):  # OpenCV 4; in OpenCV 5 the other one has it all
            eye = np.eye(3)
            return cv2.undistortPointsIter(pixels, self.matrix, self.D, eye, eye, _CONVERGED)
        return cv2.undistortPoints(pixels, self.matrix, self.D, criteria=_CONVERGED)

    @cached_property
    def _largest_slope(self) -> float:
        """Largest |(x, y)| / z up to which the lens bends outwards only.

        Beyond it a polynomial turns back, and what lies far aside would appear in the picture.
        """
        if not self._is_distorted:
            return np.inf
        slope = np.tan(np.linspace(0, _WIDEST, 5000))
        # The radial part alone: the tangential one hardly depends on the distance to the axis.
        radial = self.D if self.model == "equidistant" else _radial(self.D)
        points = np.stack([slope, slope * 0, slope * 0 + 1], axis=1)[:, None]
        radius = self._opencv_project(points, np.eye(3), radial)[:, 0]
        falling = np.flatnonzero(np.diff(radius) <= 0)
        return float(slope[falling[0]] if len(falling) else slope[-1])

    def _rename(self) -> None:
        """Keep one name of each model."""
        name = _plain(self.model)
        name = next((n for n in _NAMES if _plain(n) == name), self.model.strip())
        if name in _STRAIGHT_NAMES:
            if self.D.any():
                raise ValueError(f"camera distortion_model is {name!r}, but D is {self.D.tolist()}")
            object.__setattr__(self, "D", self.D[:0])
            name = ""
        object.__setattr__(self, "model", _OTHER_NAMES.get(name, name) or "plumb_bob")

    def _check(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"camera width, height {self.width}, {self.height} must be positive")
        if self.K.shape != (9,) or not np.isfinite(self.K).all():
            raise ValueError(f"camera K {self.K.tolist()} must be 9 finite numbers")
        if min(self.K[0], self.K[4]) < _SMALLEST_FOCAL:
            raise ValueError(
                f"camera K {self.K.tolist()} has no positive focal lengths (K[0], K[4]); "
                "is the camera calibrated, and does its driver read the calibration file?"
            )
        if self.K[[3, 6, 7]].any():
            raise ValueError(
                f"camera K {self.K.tolist()} must be row by row, [fx, 0, cx, 0, fy, cy, 0, 0, 1]; "
                "is it transposed?"
            )
        for name, numbers in (("K", self.K), ("D", self.D)):
            if np.abs(numbers).max(initial=0.0) > _LARGEST_NUMBER:
                raise ValueError(f"camera {name} {numbers.tolist()} has numbers of no camera")
        if self.K[8] != 1 or abs(self.K[1]) > _LARGEST_SKEW:
            raise ValueError(
                f"camera K {self.K.tolist()} must be [fx, 0, cx, 0, fy, cy, 0, 0, 1]: skew (K[1]) "
                "is not supported, and K[8] must be 1"
            )
        edges = np.abs([self.K[[2, 5]], (self.width, self.height) - self.K[[2, 5]]])
        if (edges > _FARTHEST_EDGE * self.K[[0, 4]]).any():
            raise ValueError(
                f"camera K {self.K.tolist()} is of no camera of {self.width}x{self.height} pixels: "
                "focal lengths (K[0], K[4]) and centre (K[2], K[5]) must be in pixels; is the "
                "camera calibrated?"
            )
        if self.model not in _COEFFICIENTS:
            raise ValueError(
                f"camera distortion_model {self.model!r} is unknown; known: {sorted(_NAMES)}"
            )
        lengths = _COEFFICIENTS[self.model]
        if len(self.D) not in lengths or not np.isfinite(self.D).all():
            raise ValueError(
                f"camera D {self.D.tolist()} must be finite numbers, for {self.model} "
                f"{' or '.join(map(str, lengths))} of them"
            )
        if min(self.binning) < 1:
            raise ValueError(f"camera binning {self.binning} must be 1 or more")
        x, y, width, height = self._region
        if min(x, y) < 0 or x + width > self.width or y + height > self.height:
            raise ValueError(
                f"camera roi {self.roi} (x, y, width, height) leaves the sensor "
                f"of {self.width} x {self.height}"
            )
        if min(self.size) < 1:
            raise ValueError(f"camera roi {self.roi} with binning {self.binning} has no pixel")


@lru_cache(maxsize=4)
def pixel_rays(camera: CameraModel) -> np.ndarray:
    """Return the direction (optical frame, z = 1) of every pixel, float64 [H * W, 3]."""
    rows, columns = np.mgrid[: camera.size[0], : camera.size[1]].reshape(2, -1)
    return camera.rays(np.column_stack([columns, rows]))


def same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether pictures of two sizes can be one picture resized."""
    return abs(size[0] * other[1] / (size[1] * other[0]) - 1) <= _ASPECT_TOLERANCE


@lru_cache(maxsize=16)
def _scaled(camera: CameraModel, size: tuple[int, int]) -> CameraModel:
    """Return a camera for pictures of a size: for equal ones the same, with all it has cached."""
    factors = (size[1] / camera.size[1], size[0] / camera.size[0])
    matrix = _resampled(camera.matrix, (0, 0), factors)
    return CameraModel(size[1], size[0], matrix, camera.model, camera.D)


def _plain(name: str) -> str:
    """Return a name of a lens model without what its writers spell differently."""
    return re.sub(r"[\s_-]", "", name).lower()


def _radial(coefficients: np.ndarray) -> np.ndarray:
    """Return OpenCV's coefficients without p1, p2 and what follows k6."""
    radial = coefficients[:8].copy()
    radial[2:4] = 0
    return radial


def _resampled(
    matrix: np.ndarray, corner: tuple[float, float], factors: tuple[float, float]
) -> np.ndarray:
    """Return the intrinsic matrix of a picture cut at a corner, then resized by factors."""
    result = matrix.copy()
    # Pixel i covers i - 0.5 to i + 0.5: edges scale, centres do not.
    for axis in (0, 1):
        result[axis, axis] *= factors[axis]
        result[axis, 2] = (matrix[axis, 2] - corner[axis] + 0.5) * factors[axis] - 0.5
    return result
