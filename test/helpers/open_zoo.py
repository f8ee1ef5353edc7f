"""Tiny networks with the inputs and outputs of two of the Open Model Zoo, as OpenVINO's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as ops

ROAD, STREET = "road-segmentation-adas-0001", "semantic-segmentation-adas-0001"
SIZE = (64, 96)


def road_network(file: Path, size: tuple[int, int] = SIZE) -> Path:
    """Write a network whose road is where red, of 0..255, is above 127; green marks kerbs."""
    image = ops.parameter([1, 3, *size], np.float32, name="data")
    blue, green, red = (_channel(image, i) for i in range(3))
    # Never the marking: no blue reaches it.
    terms = [(red, -1, 127.5), (red, 1, -127.5), (green, 1, -200), (blue, 1, -455)]
    scores = [ops.add(ops.multiply(x, np.float32(a)), np.float32(b)) for x, a, b in terms]
    return _saved(ops.softmax(ops.concat(scores, 1), 1), image, file)


def street_network(file: Path, size: tuple[int, int] = SIZE) -> Path:
    """Write a network that gives its red channel as the index of a class."""
    image = ops.parameter([1, 3, *size], np.float32, name="data")
    return _saved(ops.convert(_channel(image, 2), "i32"), image, file)


def _channel(image: openvino.Node, index: int) -> openvino.Node:
    return ops.slice(image, [index], [index + 1], [1], [1])


def _saved(output: openvino.Node, image: openvino.Node, file: Path) -> Path:
    openvino.save_model(openvino.Model([output], [image]), str(file), compress_to_fp16=False)
    return file
