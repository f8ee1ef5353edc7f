import pytest
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.models.detection.roi_heads import paste_masks_in_image

from panoptic_ros.networks import build

SMALL = {
    "name": "mask_rcnn",
    "backbone": "mobilenet_v2_fpn",
    "num_classes": 8,
    "fpn_channels": 16,
    "box_channels": 32,
    "mask_channels": [16, 16],
    "anchor_sizes": [16, 32, 64, 128, 256],
    "proposals": 40,
    "detections": 10,
}


def image(height, width, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    return build(SMALL).eval()


@torch.inference_mode()
def test_it_is_torchvisions_detector_without_the_pasting():
    torch.manual_seed(0)
    theirs = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=9, min_size=96, max_size=128
    ).eval()
    ours = build({"name": "mask_rcnn", "num_classes": 8}).eval()
    ours.load_state_dict(theirs.state_dict())
    picture = image(96, 128)
    expected, found = theirs([picture])[0], ours([picture])[0]
    assert len(found["scores"]) > 0
    assert found["masks"].shape[1:] == (1, 28, 28)
    for key in ("boxes", "labels", "scores"):
        assert torch.equal(found[key], expected[key])
    pasted = paste_masks_in_image(found["masks"], found["boxes"], (96, 128))
    assert torch.equal(pasted, expected["masks"])


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (101, 75)])
@torch.inference_mode()
def test_detections_lie_in_the_image_as_given(detector, size):
    found = detector([image(*size)])[0]
    height, width = size
    assert 0 < len(found["scores"]) <= SMALL["detections"]
    assert found["boxes"].min() >= 0
    assert (found["boxes"].amax(0) <= torch.tensor([width, height, width, height])).all()
    assert set(found["labels"].tolist()) <= set(range(1, 9))
    assert torch.equal(found["scores"], found["scores"].sort(descending=True).values)
    assert 0 <= found["masks"].min() <= found["masks"].max() <= 1


@torch.inference_mode()
def test_no_detection_is_no_error():
    found = build(SMALL | {"score_threshold": 1.0}).eval()([image(64, 64)])[0]
    assert {k: tuple(v.shape) for k, v in found.items()} == {
        "boxes": (0, 4),
        "labels": (0,),
        "scores": (0,),
        "masks": (0, 1, 28, 28),
    }


def test_training_gives_torchvisions_losses_and_every_parameter_learns():
    torch.manual_seed(0)
    network = build(SMALL).train()
    boxes = torch.tensor([[10.0, 10.0, 42.0, 50.0], [60.0, 20.0, 90.0, 44.0]])
    masks = torch.zeros(2, 64, 96, dtype=torch.uint8)
    masks[0, 10:50, 10:42] = 1
    masks[1, 20:44, 60:90] = 1
    full = {"boxes": boxes, "labels": torch.tensor([1, 8]), "masks": masks}
    empty = {"boxes": boxes[:0], "labels": full["labels"][:0], "masks": masks[:0]}
    losses = network([image(64, 96), image(64, 96, 1)], [full, empty])
    assert set(losses) == {
        "loss_classifier",
        "loss_box_reg",
        "loss_mask",
        "loss_objectness",
        "loss_rpn_box_reg",
    }
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    still = [n for n, p in network.named_parameters() if p.grad is None]
    assert still == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "vgg"}, "unknown backbone 'vgg'; known: mobilenet_v2_fpn, resnet50_fpn, "),
        ({"anchor_sizes": [32, 64]}, "anchor_sizes has 2 entries; the pyramid has 5 levels"),
        ({"mask_channels": []}, "mask_rcnn"),
        ({"norm": "group"}, "unknown norm 'group'; known: batch, frozen"),
        ({"normalisation": "tf"}, "unknown normalisation 'tf'; known: torch, caffe"),
        ({"class_ids": [24]}, "class_ids has 1 entries; the network has 8 classes"),
    ],
)
def test_an_impossible_architecture_is_explained(change, message):
    with pytest.raises(ValueError, match=message):
        build(SMALL | change)


def test_caffe_networks_see_bgr_in_0_to_255_less_the_mean():
    network = build(SMALL | {"normalisation": "caffe"})
    picture = image(32, 32)
    seen, _ = network.transform([picture])
    mean = torch.tensor([103.53, 116.28, 123.675])[:, None, None]
    expected = picture[[2, 1, 0]] * 255 - mean
    torch.testing.assert_close(seen.tensors[0], expected)


def test_the_original_resnet_halves_the_resolution_in_the_1x1_convolution():
    body = build({"name": "mask_rcnn", "num_classes": 1, "backbone": "resnet50_msra_fpn"}).backbone
    strides = [
        (body.body[f"layer{i}"][0].conv1.stride, body.body[f"layer{i}"][0].conv2.stride)
        for i in range(1, 5)
    ]
    assert strides == [((1, 1), (1, 1)), *[((2, 2), (1, 1))] * 3]


def test_a_frozen_norm_has_nothing_to_learn_and_stays_in_training():
    network = build(SMALL | {"norm": "frozen", "norm_epsilon": 0.0}).train()
    norms = [m for m in network.backbone.body.modules() if hasattr(m, "running_var")]
    assert norms
    assert not any(list(m.parameters()) for m in norms)
    features = image(8, 8).expand(1, 3, 8, 8)[:, :1].expand(1, norms[0].weight.numel(), 8, 8)
    norms[0].running_var.fill_(4.0)
    torch.testing.assert_close(norms[0](features), features / 2)


def test_boxes_without_area_are_no_detections(detector):
    found = {
        "boxes": torch.tensor([[0.0, 0.0, 4.0, 4.0], [4.0, 0.0, 4.0, 4.0]]),
        "scores": torch.tensor([0.3, 0.9]),
    }
    (left,) = detector.transform.postprocess([found], [(8, 8)], [(8, 8)])
    assert left["scores"].tolist() == pytest.approx([0.3])
