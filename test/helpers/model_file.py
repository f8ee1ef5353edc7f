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


def write_untrained(path, short_side=64, **options):
    """Write the model `random` with narrow layers, for images of a short side; return the path.

    options: of the fusion, in place of the model's own.
    """
    model = yaml.safe_load((share_dir() / "config/models/random.yaml").read_text())
    for part in ("semantic", "instances"):
        model[part].update(short_side=short_side, long_side=2 * short_side)
    model["semantic"]["architecture"]["decoder_channels"] = 32
    model["instances"]["architecture"].update(
        fpn_channels=32, box_channels=64, mask_channels=[32], proposals=50, detections=10
    )
    model["options"] = options or model["options"]
    path.write_text(yaml.safe_dump(model))
    return path
