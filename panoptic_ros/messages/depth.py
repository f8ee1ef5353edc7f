"""Depth images: sensor_msgs/Image with 32FC1, 16UC1 (REP-118) or mono16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.depth_registration import register_depth, resized_depth
from panoptic_ros.geometry.poses import is_same_frame
from panoptic_ros.messages.clouds import FARTHEST, check_reach
from panoptic_ros.messages.images import RawImage, single_channel
from panoptic_ros.messages.refusal import ImageRefused

# Encoding -> type of a value, metres per unit. Drivers older than REP-118 say mono16.
_UNITS = {"32FC1": ("f4", 1.0), "16UC1": ("u2", 1e-3), "mono16": ("u2", 1e-3)}


def decode_depth(msg: RawImage) -> np.ndarray:
    """Return a depth image as float32 [H, W], metres, 0 where there is no depth.

    32FC1 holds metres (not finite, or beyond FARTHEST: none), 16UC1 and mono16 millimetres (0:
    none), of either byte order. Raise ImageRefused for another encoding, zero size or more than
    MAX_PIXELS, or wrong step or length of data.
    """
    if msg.encoding not in _UNITS:
        raise ImageRefused(
            "depth must be 32FC1 (metres), 16UC1 or mono16 (millimetres); its encoding is "
            f"{msg.encoding!r}"
        )
    kind, metres = _UNITS[msg.encoding]
    # A signalling NaN is no depth either, and nothing to be told of on stderr.
    with np.errstate(invalid="ignore"):
        depth = single_channel(msg, "depth image", kind).astype(np.float32) * np.float32(metres)
    depth[~((depth > 0) & (depth <= FARTHEST))] = 0
    return depth


def depth_of_picture(
    msg: Any,
    camera: CameraModel,
    frame: str,
    camera_from: Callable[[str], np.ndarray],
    info: Any,
    info_topic: str,
) -> np.ndarray:
    """Return a depth image as a camera sees it, float32 [H, W], metres, 0 where there is none.

    frame: the camera's optical frame; camera_from: gives it from another one, float64 [4, 4], and
    may raise LookupError; info: the CameraInfo of depth in another frame, or None, from info_topic.
    Raise ImageRefused where `decode_depth` does, ValueError where a picture of this camera cannot
    be made of it.
    """
    depth, own = decode_depth(msg), msg.header.frame_id
    # One that names no frame is taken for what the documentation asks for.
    if not own or not frame or is_same_frame(own, frame):
        return resized_depth(depth, camera.size)
    if info is None:
        raise ValueError(
            f"it is in frame {own!r}, the image in {frame!r}; register it to the image, or "
            f"publish its calibration on {info_topic}"
        )
    matrix = camera_from(own)
    check_reach(matrix, own)
    own_camera = CameraModel.calibrated(info, (depth.shape[0], depth.shape[1]))
    return register_depth(depth, own_camera, camera, matrix)
