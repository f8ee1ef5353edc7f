"""A small model of random weights, written as a model file."""

import yaml

from panoptic_ros.resources import share_dir

HEAD = {"name": "panoptic_head", "class_ids": [24, 25, 26, 27, 28, 31, 32, 33]}
SMALL = {
    "label_set": "cityscapes",
    "seed": 3,
    "semantic": {
        "weights": "random",
        "architecture": {
            "name": "deeplabv3plus_mobilenetv2",
            "num_classes": 19,
            "decoder_channels": 16,
        },
    },
    "instances": {
        "weights": "random",
        "architecture": {
            "name": "mask_rcnn",
            "backbone": "mobilenet_v2_fpn",
            "num_classes": 8,
            "fpn_channels": 16,
            "box_channels": 32,
            "mask_channels": [16],
            "proposals": 40,
            "detections": 10,
        },
    },
    "head": {"weights": "random", "architecture": HEAD},
    "fusion": "conv_head",
    "options": {"score_threshold": 0.25, "class_limits": {24: 3}},
}


def write(path, **changes):
    path.write_text(yaml.safe_dump(SMALL | changes))
    return path


def write_untrained(path):
    """Write the model `random`, for images of a short side of 64 pixels."""
    text = (share_dir() / "config" / "models" / "random.yaml").read_text()
    path.write_text(text.replace("short_side: 512", "short_side: 64").replace("1024", "128"))
    return path
