"""Write a model as one file for onnxruntime, OpenVINO or TensorRT that runs in its place."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

# More take longer and move the ranges little.
MOST_PICTURES = 32
HELP = "write a model's networks as one file for onnxruntime, OpenVINO or TensorRT"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, the form and the place."""
    parser.add_argument(
        "--weights",
        default="town",
        metavar="NAME",
        help="model: a name of config/models, or a file",
    )
    parser.add_argument(
        "--format",
        choices=("onnx", "openvino", "tensorrt"),
        default="onnx",
        help="tensorrt: an ONNX file whose engine is made here where there is TensorRT, else by "
        "the node at its first start",
    )
    parser.add_argument(
        "--size",
        type=_size,
        metavar="WIDTHxHEIGHT",
        help="of the networks' input; default: the model's, for frames twice as wide as high",
    )
    parser.add_argument("--int8", action="store_true", help="compute in int8; needs --calibrate")
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="DIR",
        help="pictures of what the camera will see, to choose the ranges of int8 by",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")


def run(args: argparse.Namespace) -> int:
    """Write graph, description and model file; print the model file's name."""
    from panoptic_ros.datasets.picture_files import read_picture
    from panoptic_ros.model.config import load_model_config
    from panoptic_ros.model.export import export

    if args.int8 != (args.calibrate is not None):
        raise ValueError("--int8 and --calibrate DIR go together")
    config = load_model_config(args.weights)
    file = args.out / f"{config.name}.yaml"
    if file.is_file() and Path(args.weights).is_file() and file.samefile(args.weights):
        raise ValueError(f"{file} is the model file itself; choose another --out")
    pictures = [read_picture(file) for file in _pictures(args.calibrate)] if args.int8 else []
    print(export(config, args.out, args.format, args.size, pictures))
    return 0


def _pictures(folder: Path) -> list[Path]:
    """Return up to MOST_PICTURES of the pictures below a folder, evenly spread."""
    from panoptic_ros.datasets.picture_files import PICTURES, files_below

    files = files_below(folder, *PICTURES)
    if not files:
        raise FileNotFoundError(f"there are no pictures in {folder} ({', '.join(PICTURES)})")
    step = -(-len(files) // MOST_PICTURES)
    return files[::step]


def _size(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"[1-9]\d{1,4}x[1-9]\d{1,4}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write WIDTHxHEIGHT, as 1024x512")
    from panoptic_ros.messages.images import MAX_PIXELS

    width, height = map(int, text.split("x"))
    if width * height > MAX_PIXELS:
        raise argparse.ArgumentTypeError(f"{text} is more than {MAX_PIXELS} pixels")
    return height, width
