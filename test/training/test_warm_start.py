import pytest
import torch

from panoptic_ros.checkpoints import save
from panoptic_ros.networks import build
from panoptic_ros.training.warm_start import warm_start

SEMANTIC = {"name": "deeplabv3plus_mobilenetv2", "num_classes": 19, "decoder_channels": 8}
DETECTOR = {
    "name": "mask_rcnn",
    "backbone": "mobilenet_v2_fpn",
    "num_classes": 8,
    "fpn_channels": 8,
    "box_channels": 8,
    "mask_channels": [8],
}


@pytest.fixture(scope="module")
def semantic(tmp_path_factory):
    torch.manual_seed(1)
    network = build(SEMANTIC)
    path = tmp_path_factory.mktemp("weights") / "semantic"
    save(
        network,
        path,
        architecture=SEMANTIC,
        label_set="cityscapes",
        command="",
        data="",
        seed=1,
        scores={},
    )
    return network, str(path)


def test_a_network_for_other_classes_takes_all_but_its_last_layer(semantic):
    source, path = semantic
    target = build({**SEMANTIC, "num_classes": 5})
    last = target.classifier.classifier[-1].weight.clone()
    warm_start(target, path)
    ours, theirs = target.state_dict(), source.state_dict()
    different = {k for k in ours if ours[k].shape != theirs[k].shape}
    assert different == {"classifier.classifier.3.weight", "classifier.classifier.3.bias"}
    assert all(torch.equal(ours[k], theirs[k]) for k in ours.keys() - different)
    assert torch.equal(target.classifier.classifier[-1].weight, last)


def test_a_detector_takes_the_semantic_network_s_backbone(semantic):
    source, path = semantic
    target = build(DETECTOR)
    warm_start(target, path)
    ours = list(target.backbone.body.state_dict().values())
    theirs = list(source.backbone.state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_another_backbone_takes_nothing_and_says_so(semantic):
    _, path = semantic
    target = build({**DETECTOR, "backbone": "resnet50_fpn"})
    with pytest.raises(ValueError, match=r"nothing in .* fits: DeepLabV3Plus to MaskRCNNDetector"):
        warm_start(target, path)


def test_no_path_changes_nothing():
    network = torch.nn.Linear(2, 2)
    before = network.weight.clone()
    warm_start(network, "")
    assert torch.equal(network.weight, before)
