import pytest
import torch

from panoptic_ros.networks import (
    DeepLabV3Plus,
    MaskRCNNDetector,
    PanopticHead,
    SharedPanopticNetwork,
    SpatialRanking,
)
from panoptic_ros.training.settings import TrainingConfig
from panoptic_ros.training.task import new_network

HEAD = {"name": "panoptic_head", "class_ids": [24, 26], "num_semantic": 19}
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
