"""The small architecture of a network whose heads share a backbone."""

ONE_STAGE = {"name": "yolact", "channels": 32}


def architecture(instances=ONE_STAGE, *, classes=19, things=8, channels=32, semantic="fpn_branch"):
    """Return what `build` makes the network from; channels: of its pyramid."""
    return {
        "name": "shared_panoptic",
        "num_classes": classes,
        "num_things": things,
        "fpn_channels": channels,
        "semantic": {"name": semantic, "channels": 32},
        "instances": dict(instances),
    }
