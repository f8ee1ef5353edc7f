import pytest
import torch
from pyramid import unreached
from shared_network import architecture
from torch.nn import functional as F

from panoptic_ros.networks import build
from panoptic_ros.networks.panoptic.shared import SEMANTIC_HEADS, SharedPanopticNetwork

REGIONS = {
    "name": "mask_rcnn",
    "box_channels": 16,
    "mask_channels": [16],
    "proposals": 20,
    "detections": 5,
    "score_threshold": 0.0,
}
ONE_STAGE = {"name": "yolact", "channels": 32, "detections": 7, "score_threshold": 0.0}


def network(semantic="fpn_branch", instances=REGIONS):
    torch.manual_seed(0)
    return build(architecture(instances, classes=5, things=2, semantic=semantic))


def target():
    masks = torch.zeros(2, 64, 96, dtype=torch.uint8)
    masks[0, 8:40, 4:36] = 1
    masks[1, 20:60, 50:90] = 1
    boxes = torch.tensor([[4.0, 8, 36, 40], [50, 20, 90, 60]])
    return {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks}


@pytest.mark.parametrize("instances", [REGIONS, ONE_STAGE], ids=["mask_rcnn", "yolact"])
@pytest.mark.parametrize("semantic", SEMANTIC_HEADS)
def test_one_pass_gives_both(semantic, instances):
    if semantic == "attention_branch" and instances is ONE_STAGE:
        with pytest.raises(ValueError, match="attention_branch attends to mask_rcnn"):
            network(semantic, instances)
        return
    model = network(semantic, instances)
    images = torch.rand(2, 3, 64, 96)
    passes = []
    model.backbone.register_forward_hook(lambda *_: passes.append(1))
    losses = model(images, [target()] * 2)
    stride = 8 if semantic == "pyramid_pooling" else 4
    assert losses.logits.shape == (2, 5, 64 // stride, 96 // stride)
    assert losses.instances == []
    total = F.cross_entropy(losses.logits, torch.zeros(2, *losses.logits.shape[2:]).long())
    total = total + sum(losses.losses.values())
    assert total.isfinite()
    total.backward()
    with torch.no_grad():
        output = model.eval()(images)
    assert len(passes) == 2
    assert output.losses == {}
    for found in output.instances:
        count = len(found["scores"])
        assert found["boxes"].shape == (count, 4)
        assert found["masks"].shape[0] == count
        assert found["masks"].ndim == 3
        assert ((found["masks"] >= 0) & (found["masks"] <= 1)).all()
        assert set(found["labels"].tolist()) <= {1, 2}


def test_gradients_reach_every_parameter_of_backbone_and_regions():
    model = network("attention_branch")
    output = model(torch.rand(2, 3, 64, 96), [target()] * 2)
    truth = torch.randint(5, (2, 16, 24))
    (F.cross_entropy(output.logits, truth) + sum(output.losses.values())).backward()
    assert unreached(model) == []


@pytest.mark.parametrize("size", [(64, 100), (50, 96)])
def test_sides_that_are_no_multiples_are_refused(size):
    with pytest.raises(ValueError, match="multiples of 32"):
        network().eval()(torch.rand(1, 3, *size))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": "vgg"}, "unknown backbone 'vgg'; known: mobilenet_v2_fpn"),
        ({"semantic": {"name": "psp"}}, "unknown semantic 'psp'"),
        ({"semantic": {"channels": 3}}, "unknown semantic None"),
        ({"instances": {"name": ["yolact"]}}, r"unknown instances \['yolact'\]"),
    ],
)
def test_unknown_parts_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        SharedPanopticNetwork(5, 2, **changes)


def test_it_is_built_by_name():
    assert isinstance(network(), SharedPanopticNetwork)


def test_masks_of_prototypes_are_read_in_the_box_s_frame():
    """Two prototypes, left and right half: an instance that takes the left one."""
    model = network(instances=ONE_STAGE).eval()
    head = model.instances
    prototypes = torch.zeros(1, 32, 16, 24)
    prototypes[0, 0, :, :12], prototypes[0, 1, :, 12:] = 1, 1
    coefficients = torch.zeros(1, 1, 32)
    coefficients[0, 0, :2] = torch.tensor([9.0, -9.0])
    from panoptic_ros.networks.instances.yolact import RawInstances

    raw = RawInstances(
        torch.tensor([[[0.0, 9.0, 0.0]]]),
        torch.zeros(1, 1, 4),
        coefficients,
        prototypes,
        torch.tensor([[24.0, 8, 72, 56]]),
    )
    found = head._instances(raw, 0, (64, 96))
    mask = found["masks"][0]
    assert mask.shape == (56, 56)
    assert (mask[:, :26] > 0.99).all()
    assert (mask[:, 30:] < 0.01).all()
