import pytest
import torch

from panoptic_ros.networks import (
    DeepLabV3Plus,
    MaskRCNNDetector,
    PanopticHead,
    SharedPanopticNetwork,
    SpatialRanking,
    build,
)
from panoptic_ros.training.settings import TrainingConfig
from panoptic_ros.training.task import new_network

HEAD = {"name": "panoptic_head", "class_ids": [24, 26], "num_semantic": 19}
DETECTOR = {"name": "mask_rcnn", "num_classes": 8, "backbone": "mobilenet_v2_fpn"}
SHARED = {"name": "shared_panoptic", "num_classes": 19, "num_things": 8}
SEMANTIC = {"name": "deeplabv3plus_mobilenetv2", "num_classes": 19, "decoder_channels": 8}


def test_a_network_of_the_kind_that_is_trained():
    network = new_network(TrainingConfig(SEMANTIC), DeepLabV3Plus, "semantic")
    assert isinstance(network, DeepLabV3Plus)
    assert network.num_classes == 19


@pytest.mark.parametrize(
    ("architecture", "kind", "training", "name"),
    [
        (HEAD, DeepLabV3Plus, "semantic", "deeplabv3plus_mobilenetv2"),
        (SEMANTIC, MaskRCNNDetector, "instance", "mask_rcnn"),
        (SEMANTIC, SharedPanopticNetwork, "panoptic", "shared_panoptic"),
        (SEMANTIC, PanopticHead, "head", "panoptic_head"),
        (HEAD, SpatialRanking, "ranking", "spatial_ranking"),
    ],
)
def test_another_architecture_is_refused(architecture, kind, training, name):
    message = f"name is {architecture['name']!r}; train {training} needs {name}$"
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        new_network(TrainingConfig(architecture), kind, training)


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        (
            {**SEMANTIC, "num_classes": 0},
            "num_classes is '0'; it must be a whole number",
        ),
        ({**SEMANTIC, "num_classes": "x"}, "num_classes is 'x'; it must be a whole number"),
        ({**SEMANTIC, "decoder_channels": 1.5}, "decoder_channels is '1.5'; it must be a whole"),
        ({**HEAD, "class_ids": []}, r"class_ids is '\[\]'; it must be a list of whole numbers"),
        ({**DETECTOR, "mask_channels": []}, r"mask_channels is '\[\]'; it must be a list"),
        ({**DETECTOR, "detections": -1}, "detections is '-1'; it must be a whole number"),
        (
            {**DETECTOR, "score_threshold": 2},
            r"score_threshold is '2'; it must be a number",
        ),
        ({**SHARED, "instances": {"name": "mask_rcnn", "proposals": 0}}, "proposals is '0'"),
        ({**SHARED, "instances": {"name": "yolact", "detections": 0}}, "detections is '0'"),
        ({**SHARED, "semantic": {"name": "fpn_branch", "channels": 0}}, "channels is '0'"),
    ],
)
def test_numbers_that_make_no_network_are_named(architecture, said):
    with pytest.raises(ValueError, match=said):
        build(architecture)
