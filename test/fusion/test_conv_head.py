from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import CAR, ROAD, instances_of, random_scene, semantic_of
from torch.nn import functional as F

from benchmarks.reference import head_reference
from panoptic_ros import upsampling
from panoptic_ros.fusion import FusionOptions, make_strategy
from panoptic_ros.fusion.conv_head import ConvHead, refine
from panoptic_ros.fusion.merge import select
from panoptic_ros.fusion.stack import stack
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.networks.panoptic_head import PanopticHead
from panoptic_ros.upsampling import paste

THINGS = [c.id for c in CITYSCAPES.things]
OPTIONS = FusionOptions(score_threshold=0.3, stuff_area_limit=0)


def random_head(**kernels):
    torch.manual_seed(0)
    head = PanopticHead(THINGS, **kernels)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return head


@pytest.mark.parametrize("seed", range(4))
def test_an_untrained_head_equals_the_heuristic(seed):
    semantic, instances = random_scene(seed)
    head = ConvHead(PanopticHead(THINGS))
    expected = stack(semantic, instances, OPTIONS)
    assert (head(semantic, instances, OPTIONS).labels != expected.labels).mean() <= 1e-3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "kernels",
    [{}, {"depthwise_kernel": 5, "mix_kernel": 1}, {"depthwise_kernel": 3, "mix_kernel": 7}],
)
@pytest.mark.parametrize("count", [1, 3, 20])
def test_factorised_equals_plain(seed, kernels, count):
    head = random_head(**kernels)
    semantic, instances = random_scene(seed, count=count)
    candidates = select(semantic, instances, FusionOptions(score_threshold=0))
    masks = semantic.upsampled().softmax(0)
    height, width = semantic.image_size
    refined = refine(head, semantic, candidates)
    assert len(refined) == len(candidates) > 0
    for i, ((x0, y0, x1, y1), logits) in enumerate(refined):
        own = paste(candidates.masks[i], candidates.boxes[i], (0, 0, width, height))
        plain = head_reference(head, masks, own, int(candidates.class_ids[i]))
        torch.testing.assert_close(logits, plain[y0:y1, x0:x1], atol=1e-5, rtol=0)


@pytest.mark.gpu
def test_the_gpu_gives_the_same():
    head, (semantic, instances) = random_head(), random_scene(5, count=20)
    expected = ConvHead(head)(semantic, instances, OPTIONS)
    on_gpu = type(semantic)(semantic.logits.cuda(), semantic.image_size, semantic.labels)
    fields = (instances.boxes, instances.class_ids, instances.scores, instances.masks)
    found = ConvHead(head.cuda())(on_gpu, type(instances)(*(t.cuda() for t in fields)), OPTIONS)
    assert (found.labels != expected.labels).mean() <= 1e-3


def test_predictions_in_half_precision_give_the_same_but_at_edges():
    head, (semantic, instances) = random_head(), random_scene(3, count=12)
    expected = ConvHead(head)(semantic, instances, OPTIONS).labels
    half = replace(instances, masks=instances.masks.half())
    logits = replace(semantic, logits=semantic.logits.half())
    for found in (ConvHead(head)(semantic, half, OPTIONS), ConvHead(head)(logits, half, OPTIONS)):
        assert (found.labels != expected).mean() <= 2e-3


@pytest.mark.parametrize("pixels", [1, 160 * 7, 160 * 95])
def test_in_strips_it_gives_the_same(pixels, monkeypatch):
    head, (semantic, instances) = random_head(), random_scene(2, count=20)
    candidates = select(semantic, instances, FusionOptions(score_threshold=0))
    whole = refine(head, semantic, candidates)
    monkeypatch.setattr(upsampling, "HOST_STRIP_PIXELS", pixels)
    for (box, logits), (same_box, expected) in zip(
        refine(head, semantic, candidates), whole, strict=True
    ):
        assert box == same_box
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


def test_a_large_image_takes_no_memory_for_each_class_and_pixel(monkeypatch):
    """The widest tensor of classes that the head sees has as many pixels as a strip, and edges."""
    widest = []
    cnn = F.conv2d
    monkeypatch.setattr(
        F, "conv2d", lambda x, *a, **k: widest.append(x.numel() // x.shape[0]) or cnn(x, *a, **k)
    )
    monkeypatch.setattr(upsampling, "HOST_STRIP_PIXELS", 1000)
    semantic, instances = random_scene(2, count=20)
    candidates = select(semantic, instances, FusionOptions(score_threshold=0))
    refine(random_head(), semantic, candidates)
    rows = 1000 // 160 + 4
    assert max(widest) <= 19 * rows * (160 + 4)


def test_context_can_extend_a_mask_beyond_its_box():
    """A car's box that ends one pixel short of what the semantic masks call car."""
    rows = [[ROAD] * 5 + [CAR] * 11 + [ROAD] * 4] * 12
    semantic = semantic_of(rows)
    instances = instances_of((CAR, 0.9, (5, 0, 15, 12)))
    head = PanopticHead(THINGS)
    cnn = head.cnn(CAR)
    car = 1 + [c.id for c in CITYSCAPES.classes].index(CAR)
    with torch.no_grad():
        cnn.mix.weight[0, car, 1, 1] = 20.0
        cnn.mix.bias -= 10.0
    labels = ConvHead(head)(semantic, instances, OPTIONS).labels
    assert labels.tolist() == [[7] * 5 + [26000] * 11 + [7] * 4] * 12


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_mask_threshold_is_on_the_sigmoid(threshold):
    semantic, instances = random_scene(1)
    options = FusionOptions(
        score_threshold=0.0, overlap_threshold=1.0, stuff_area_limit=0, mask_threshold=threshold
    )
    head = random_head()
    candidates = select(semantic, instances, options)
    box, logits = refine(head, semantic, candidates)[0]
    labels = ConvHead(head)(semantic, instances, options).labels
    x0, y0, x1, y1 = box
    held = labels[y0:y1, x0:x1] == candidates.values[0]
    assert np.array_equal(held, (logits.sigmoid() >= threshold).numpy())


def test_no_instances():
    semantic = semantic_of([[ROAD, ROAD]])
    assert ConvHead(PanopticHead(THINGS))(semantic, instances_of(), OPTIONS).labels.tolist() == [
        [7, 7]
    ]


def test_a_class_that_the_head_lacks_is_named():
    semantic = semantic_of([[ROAD] * 4])
    with pytest.raises(ValueError, match="no CNN for class 26"):
        ConvHead(PanopticHead([24]))(semantic, instances_of((CAR, 0.9, (0, 0, 2, 1))), OPTIONS)


def test_strategies_by_name():
    assert make_strategy("stack") is stack
    assert isinstance(make_strategy("conv_head", PanopticHead(THINGS)), ConvHead)
    with pytest.raises(ValueError, match="head"):
        make_strategy("conv_head")
    with pytest.raises(ValueError, match="'unet'; known: conv_head, degeus, panoptic_fpn, spatial"):
        make_strategy("unet")


def test_report_form_of_the_plain_head():
    """Depthwise then mixing convolution of 20 stacked channels, then nothing until the sigmoid."""
    head = random_head()
    semantic, mask = torch.rand(19, 9, 11), torch.rand(9, 11)
    cnn = head.cnn(CAR)
    stacked = F.pad(torch.cat([mask[None], semantic]), [2, 2, 2, 2])[None]
    channels = F.conv2d(stacked, cnn.depthwise.weight, groups=20)
    expected = F.conv2d(channels, cnn.mix.weight, cnn.mix.bias)[0, 0]
    torch.testing.assert_close(head_reference(head, semantic, mask, CAR), expected)
