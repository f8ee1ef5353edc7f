"""Write a model as one ONNX or OpenVINO file that runs in its place."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

HELP = "write a model's networks as one ONNX or OpenVINO file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, the form and the place."""
    parser.add_argument(
        "--weights",
        default="town",
        metavar="NAME",
        help="model: a name of config/models, or a file",
    )
    parser.add_argument("--format", choices=("onnx", "openvino"), default="onnx")
    parser.add_argument(
        "--size",
        type=_size,
        metavar="WIDTHxHEIGHT",
        help="of the networks' input; default: the model's, for frames twice as wide as high",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")


def run(args: argparse.Namespace) -> int:
    """Write graph, description and model file; print the model file's name."""
    from panoptic_ros.model.config import load_model_config
    from panoptic_ros.model.export import export

    print(export(load_model_config(args.weights), args.out, args.format, args.size))
    return 0


def _size(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"[1-9]\d{1,4}x[1-9]\d{1,4}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write WIDTHxHEIGHT, as 1024x512")
    width, height = map(int, text.split("x"))
    return height, width
