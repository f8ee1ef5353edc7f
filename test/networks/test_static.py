import pytest
import torch
from crossings import Crossings
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode
from torchvision.ops import batched_nms

from panoptic_ros.networks import build
from panoptic_ros.networks.static import (
    StaticDetector,
    StaticInstances,
    StaticSeparate,
    StaticShared,
    _Rule,
    _suppress,
)

DETECTOR = {
    "name": "mask_rcnn",
    "backbone": "mobilenet_v2_fpn",
    "num_classes": 3,
    "fpn_channels": 16,
    "box_channels": 32,
    "mask_channels": [8],
    "anchor_sizes": [16, 32, 64, 128, 256],
    "proposals": 25,
    "detections": 6,
    "score_threshold": 0.0,
}
DETECTRON = {"exact_anchors": True, "aligned_pooling": True, "late_removal": True}
SHARED = {"name": "shared_panoptic", "num_classes": 5, "num_things": 3, "fpn_channels": 16}
SEMANTIC = {"name": "deeplabv3plus_mobilenetv2", "num_classes": 5, "decoder_channels": 16}
SECOND_STAGE = {
    k: DETECTOR[k] for k in ("box_channels", "mask_channels", "proposals", "detections")
}


def made(architecture, seed=1):
    """Return an untrained network, livelier than it starts, so that its answers differ."""
    torch.manual_seed(seed)
    network = build(architecture).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * parameter.std(correction=0) * torch.randn_like(parameter)
    return network


def picture(height, width):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8, generator=generator)


def same(plain, static):
    """Say whether a plain network's instances are the valid ones of a static network."""
    valid = static.valid
    assert len(plain["scores"]) == int(valid.sum()) > 0
    assert not static.scores[~valid].any()
    assert not static.labels[~valid].any()
    torch.testing.assert_close(static.boxes[valid], plain["boxes"], atol=1e-3, rtol=0)
    torch.testing.assert_close(static.scores[valid], plain["scores"], atol=1e-5, rtol=0)
    assert torch.equal(static.labels[valid], plain["labels"])
    masks = plain["masks"].flatten(0, -3)
    torch.testing.assert_close(static.masks[valid], masks, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "options",
    [{}, DETECTRON, {"deep_heads": True}],
    ids=["as torchvision", "as detectron2", "deep heads"],
)
@pytest.mark.parametrize("size", [(64, 96), (70, 101)], ids=["whole strides", "padded"])
@torch.no_grad()
def test_a_static_detector_finds_what_the_plain_one_finds(options, size):
    network, image = made(DETECTOR | options), picture(*size)
    found = network([image[0] / 255])[0]
    same(found, StaticDetector(network, size)(image))
    unasked = StaticDetector(network, size, unasked=True)
    same(found, unasked(image))
    assert unasked.regions.is_final
    # Some of the slots only.
    network.roi_heads.score_thresh = float(found["scores"][2])
    same(network([image[0] / 255])[0], StaticDetector(network, size)(image))


@pytest.mark.parametrize("semantic", ["fpn_branch", "attention_branch", "pyramid_pooling"])
@torch.no_grad()
def test_a_static_shared_network_gives_what_the_plain_one_gives(semantic):
    head = {"name": "mask_rcnn", "score_threshold": 0.0, **SECOND_STAGE}
    network = made(SHARED | {"semantic": {"name": semantic}, "instances": head})
    image = picture(64, 96)
    plain = network(image / 255)
    logits, *rest = StaticShared(network, (64, 96))(image)
    same(plain.instances[0], StaticInstances(*rest))
    torch.testing.assert_close(logits, plain.logits, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["two networks", "as detectron2", "shared"])
def test_unasked_networks_cross_to_the_host_nowhere(kind):
    """Without a device: fake tensors have shapes only, and any question to their values raises."""
    size = (64, 96)
    with FakeTensorMode(), torch.no_grad():
        with torch.device("cuda"):
            if kind == "shared":
                head = {"name": "mask_rcnn", **SECOND_STAGE}
                parts = [build(SHARED | {"instances": head}).eval()]
            else:
                options = DETECTRON if kind == "as detectron2" else {}
                parts = [build(SEMANTIC).eval(), build(DETECTOR | options).eval()]
        made_of = StaticShared if kind == "shared" else StaticSeparate
        module, asking = made_of(*parts, size, unasked=True), made_of(*parts, size)
        image = torch.zeros(1, 3, *size, dtype=torch.uint8, device="cuda")
        with Crossings() as crossings:
            module(image)
        assert crossings.found == []
        with pytest.raises(DynamicOutputShapeException):
            asking(image)


@torch.no_grad()
def test_under_autocast_boxes_and_scores_stay_in_float32():
    network, image = made(DETECTOR), picture(64, 96)
    static = StaticDetector(network, (64, 96), unasked=True)
    expected = static(image)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        found = static(image)
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    torch.testing.assert_close(found.scores[0], expected.scores[0], atol=0.02, rtol=0)


@torch.no_grad()
def test_yolacts_instances_are_static_too():
    head = {"name": "yolact", "channels": 16, "detections": 9, "score_threshold": 0.0}
    network = made(SHARED | {"instances": head})
    image = picture(64, 96)
    plain = network(image / 255)
    _, *rest = StaticShared(network, (64, 96))(image)
    same(plain.instances[0], StaticInstances(*rest))


@torch.no_grad()
def test_an_answer_that_is_not_finite_has_no_finite_score():
    network = made(DETECTOR)
    network.rpn.head.cls_logits.bias[0] = float("nan")
    assert StaticDetector(network, (64, 96))(picture(64, 96)).scores.isnan().all()


def boxes_at_random(generator, count):
    corners = torch.rand(count, 2, generator=generator) * 60
    return torch.cat([corners, corners + 1 + 30 * torch.rand(count, 2, generator=generator)], 1)


@pytest.mark.parametrize("count", [1, 7, 60, 200])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_suppression_equals_torchvisions(count, threshold):
    generator = torch.Generator().manual_seed(count)
    boxes = boxes_at_random(generator, count)
    # Twins: equal boxes; the better one stays.
    boxes[count // 2 :] = boxes[: count - count // 2].clone()
    scores = torch.rand(count, generator=generator)
    groups = torch.randint(0, 3, (count,), generator=generator)
    valid = torch.rand(count, generator=generator) > 0.3
    valid[0] = True
    (known,) = torch.where(valid)
    expected = known[batched_nms(boxes[known], scores[known], groups[known], threshold)]
    kept, good = _suppress(boxes, scores, groups, valid, _Rule(3, threshold, 50, 100))
    assert len(kept) == 50
    assert kept[good].tolist() == expected[:50].tolist()


def test_nothing_valid_leaves_nothing():
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0]] * 4)
    nothing = torch.zeros(4, dtype=torch.bool)
    _, good = _suppress(boxes, torch.ones(4), torch.zeros(4).long(), nothing, _Rule(1, 0.5, 6, 9))
    assert not good.any()
