"""Optional packages: what to install where one is missing."""

from __future__ import annotations

# Requirement file -> the modules that it brings, by the names that code imports.
MODULES = {
    "core": [
        *("PIL", "cv2", "jinja2", "numpy", "requests"),
        *("safetensors", "torch", "torchvision", "tqdm", "yaml"),
    ],
    "train": [
        *("accelerate", "kornia_rs", "markupsafe"),
        *("matplotlib", "pycocotools", "tensorboard"),
    ],
    "bags": ["backports", "lz4", "rosbags"],
    "synthetic": ["mujoco"],
    "onnx": ["onnx", "onnxruntime"],
    "openvino": ["openvino"],
    "ray": ["ray"],
    "rerun": ["rerun"],
    "tracking": ["scipy", "supervision", "trackers"],
}


def how_to_install(error: ModuleNotFoundError) -> str:
    """Return what is missing and what brings it; raise the error again where nothing here does."""
    module = (error.name or "").partition(".")[0]
    for part, modules in MODULES.items():
        if module in modules:
            extra = "" if part == "core" else f" of the extra `{part}`"
            return (
                f"{module}{extra} is not installed: pip install -r requirements/{part}.txt "
                "(docs/installation.md)"
            )
    raise error
