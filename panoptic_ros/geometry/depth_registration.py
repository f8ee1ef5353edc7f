"""A depth image as the camera sees it."""

from __future__ import annotations

import cv2
import numpy as np

from panoptic_ros.geometry.camera_model import CameraModel, pixel_rays, same_shape


def register_depth(
    depth: np.ndarray,
    depth_camera: CameraModel,
    camera: CameraModel,
    camera_from_depth: np.ndarray,
) -> np.ndarray:
    """Return a depth image in another camera's picture, float32 [H, W], metres, 0 none.

    depth: float [h, w], metres along the depth camera's optical axis; 0, negative and not
    finite: none. camera_from_depth: float [4, 4], takes points of the depth camera's optical
    frame to the camera's. Of several depths on a pixel the nearest counts. Where the picture
    is finer than the depth image, its pixels share depths.
    Raise ValueError for a depth image of another size than its camera's.
    """
    if depth.shape != depth_camera.size:
        raise ValueError(
            f"depth image is {depth.shape} (H, W), its camera's picture {depth_camera.size}; "
            "use CameraModel.scaled"
        )
    measured = np.isfinite(depth) & (depth > 0)
    points = pixel_rays(depth_camera)[measured.ravel()] * depth[measured][:, None]
    points = points @ camera_from_depth[:3, :3].T + camera_from_depth[:3, 3]
    # A picture finer than the depth image would have holes between its points.
    finer = max(1.0, camera.matrix[0, 0] / depth_camera.matrix[0, 0])
    height, width = (max(1, int(side / finer)) for side in camera.size)
    coarse = camera.scaled((height, width))
    pixels, seen = coarse.project(points)
    nearest = np.full(height * width, np.inf, np.float32)
    index = coarse.flat_index(pixels[seen])
    np.minimum.at(nearest, index, points[seen, 2].astype(np.float32))
    nearest[np.isinf(nearest)] = 0
    registered = nearest.reshape(height, width)
    return cv2.resize(registered, camera.size[::-1], interpolation=cv2.INTER_NEAREST)


def resized_depth(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a registered depth image at the picture's size (H, W), without mixing depths.

    Raise ValueError for one of another shape.
    """
    own = depth.shape[0], depth.shape[1]
    if not same_shape(size, own):
        raise ValueError(
            f"depth has {own[1]}x{own[0]} pixels, the image {size[1]}x{size[0]}: it is not "
            "registered to it"
        )
    return cv2.resize(depth, size[::-1], interpolation=cv2.INTER_NEAREST)
