from dataclasses import replace

import numpy as np
import pytest
import torch
from crossings import Crossings
from scenes import CAR, PERSON, ROAD, SKY, instances_of, random_scene, semantic_of
from torch._subclasses.fake_tensor import FakeTensorMode

from panoptic_ros.fusion import FusionOptions, conv_head, make_strategy, on_device
from panoptic_ros.fusion.merge import merge, select
from panoptic_ros.fusion.stack import detector_boxes
from panoptic_ros.labels import CITYSCAPES, LabelClass, LabelSet
from panoptic_ros.networks.panoptic_head import PanopticHead
from panoptic_ros.prediction import MaskCrop, NonFinitePrediction, SemanticPrediction
from panoptic_ros.upsampling import paste, pixel_box

ALL = FusionOptions(score_threshold=0, stuff_area_limit=0)
# The steps are the same on every device.
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def random_head(**kernels):
    torch.manual_seed(0)
    head = PanopticHead([c.id for c in CITYSCAPES.things], **kernels).requires_grad_(False)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return head


def on(device, semantic, instances):
    fields = ("boxes", "class_ids", "scores", "masks")
    moved = {name: getattr(instances, name).to(device) for name in fields}
    return replace(semantic, logits=semantic.logits.to(device)), replace(instances, **moved)


def merged(semantic, instances, options=ALL, head=None):
    """Return what the device gives, and what the loop on the host makes of the same masks."""
    candidates = select(semantic, instances, options)
    size = semantic.image_size
    if head is None:
        boxes, least = detector_boxes(semantic, candidates), options.mask_threshold
    else:
        boxes = conv_head.regions_of(candidates.boxes, size)
        least = options.mask_logit
    kernels = None if head is None else head.kernels()
    found = on_device.merge_on_device(semantic, candidates, boxes, options, kernels)
    values = on_device.values_on_device(semantic, candidates, boxes, kernels)
    crops = [MaskCrop(b, (v >= least).cpu()) for b, v in zip(boxes, values, strict=True)]
    masks = on_device.masks_on_device(semantic, candidates, boxes, options, kernels)
    assert all(torch.equal(m.mask.cpu(), c.mask) for m, c in zip(masks, crops, strict=True))
    expected = merge(replace(semantic, logits=semantic.logits.cpu()), candidates, crops, options)
    return found, expected


def check(semantic, instances, options=ALL, head=None):
    found, expected = merged(semantic, instances, options, head)
    assert np.array_equal(found.labels, expected.labels)
    assert found.labels.dtype == expected.labels.dtype
    assert found.segments == expected.segments
    for mine, crop in zip(found.masks, expected.masks, strict=True):
        assert mine.box == crop.box
        assert torch.equal(mine.mask.cpu(), crop.mask)
    return found


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("count", [1, 12, 100])
def test_random_instances_lie_as_in_the_loop(device, seed, threshold, count):
    scene = on(device, *random_scene(seed, count=count))
    check(*scene, replace(ALL, overlap_threshold=threshold))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count", [0, 1, 20])
def test_the_head_refines_as_on_the_host(device, count):
    semantic, instances = random_scene(5, count=max(count, 1))
    head = random_head()
    expected = make_strategy("conv_head", head)(semantic, instances[:count], ALL)
    found = check(*on(device, semantic, instances[:count]), head=head.to(device))
    assert (found.labels != expected.labels).mean() <= 1e-3


@pytest.mark.parametrize("kernels", [{}, {"depthwise_kernel": 3, "mix_kernel": 7}])
@pytest.mark.parametrize("count", [1, 20, 100])
def test_its_logits_are_those_of_the_regions_one_by_one(kernels, count):
    head, (semantic, instances) = random_head(**kernels), random_scene(5, count=count)
    candidates = select(semantic, instances, ALL)
    expected = conv_head.refine(head, semantic, candidates)
    boxes = [box for box, _ in expected]
    found = on_device.values_on_device(semantic, candidates, boxes, head.kernels())
    for mine, (_, one) in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, one, atol=2e-4, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_pasted_at_once_equals_pasted_one_by_one(seed):
    semantic, instances = random_scene(seed, count=15)
    instances.boxes[0] = torch.tensor([-30.0, -20, 300, 200])
    instances.boxes[1] = torch.tensor([3.5, 4.5, 4.5, 5.5])
    candidates = select(semantic, instances, ALL)
    boxes = [pixel_box(box, semantic.image_size) for box in candidates.boxes]
    values = on_device.values_on_device(semantic, candidates, boxes)
    for found, mask, box, crop in zip(
        values, candidates.masks, candidates.boxes, boxes, strict=True
    ):
        torch.testing.assert_close(found, paste(mask, box, crop), atol=2e-5, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_the_veto_is_that_of_the_loop(device):
    scene = on(device, *random_scene(4, count=20))
    seen = {len(check(*scene, replace(ALL, semantic_veto=v)).segments) for v in (0.2, 0.5, 0.8)}
    assert len(seen) > 1


@pytest.mark.parametrize(("count", "times"), [(3, 1), (12, 2)])
def test_a_chain_of_covered_instances_takes_a_round_each(count, times, monkeypatch):
    """Each covers two of three pixels of the next: every second one is dropped."""
    rounds = []
    labels = on_device._masks_and_labels
    monkeypatch.setattr(
        on_device,
        "_masks_and_labels",
        lambda form, *inputs: rounds.append(form.rounds) or labels(form, *inputs),
    )
    semantic = semantic_of([[ROAD] * (count + 3)])
    rows = [(CAR, 0.9 - 0.05 * i, (i, 0, i + 3, 1)) for i in range(count)]
    check(semantic, instances_of(*rows))
    assert rounds == [on_device.ROUNDS, count + 1][:times]


def test_equal_scores_the_same_box_and_masks_without_a_pixel():
    semantic = semantic_of([[ROAD] * 6] * 4)
    rows = [(CAR, 0.5, (1, 1, 5, 3))] * 3 + [(CAR, 0.5, (0, 0, 6, 4))]
    masks = torch.ones(4, 28, 28)
    masks[1] = 0
    check(semantic, instances_of(*rows, mask=masks))


@pytest.mark.parametrize("head", [None, random_head()])
@pytest.mark.parametrize(("boxes", "pixels"), [(1, 1), (3, 100), (4096, 1 << 20)])
def test_the_room_does_not_matter(head, boxes, pixels, monkeypatch):
    scene = random_scene(1, count=30)
    expected, _ = merged(*scene, head=head)
    monkeypatch.setattr(on_device, "LEAST_BOXES", boxes)
    monkeypatch.setattr(on_device, "LEAST_PIXELS", pixels)
    found = check(*scene, head=head)
    assert np.array_equal(found.labels, expected.labels)


@pytest.mark.parametrize(
    "options",
    [
        replace(ALL, stuff_area_limit=2000),
        replace(ALL, classes=(7, 24, 26)),
        replace(ALL, mask_threshold=0.8, class_limits={26: 1}),
    ],
)
def test_stuff_is_that_of_the_loop(options):
    check(*random_scene(3, count=8), options)
    check(*random_scene(3, count=8), options, random_head())


def test_pixels_of_no_class_and_ids_beyond_16_bits():
    classes = (LabelClass(1, "a", False, (0, 0, 0)), LabelClass(200, "b", True, (1, 1, 1)))
    logits = torch.tensor([[1.0, 1, 1], [0, 0, 0]]).view(2, 1, 3)
    other = torch.tensor([[0.0, 2, 2]])
    semantic = SemanticPrediction(logits, (1, 3), LabelSet("wide", classes), other)
    found = check(semantic, instances_of((200, 0.9, (0, 0, 0, 0)), (200, 0.8, (2, 0, 3, 1))))
    assert found.labels.tolist() == [[1, 0, 200000]]


def test_a_head_that_gives_no_numbers_is_told():
    head = random_head()
    head.cnn(CAR).bias.fill_(torch.nan)
    semantic = semantic_of([[ROAD] * 4 + [SKY] * 4] * 2)
    person = instances_of((PERSON, 0.9, (0, 0, 2, 2)))
    check(semantic, person, head=head)
    with pytest.raises(NonFinitePrediction, match="panoptic head"):
        merged(semantic, instances_of((CAR, 0.9, (0, 0, 2, 2))), head=head)


@pytest.mark.parametrize("head", [None, random_head()])
def test_no_step_asks_the_device(head, monkeypatch):
    """Without a device: fake tensors have shapes only, and any question to their values raises."""
    taken = []
    monkeypatch.setattr(
        on_device._GRAPHS,
        "run",
        lambda form, function, inputs: taken.append((form, inputs)) or function(*inputs),
    )
    merged(*random_scene(1), replace(ALL, semantic_veto=0.7), head)
    (form, inputs) = taken[0]
    with FakeTensorMode(), torch.inference_mode(), Crossings() as crossings:
        on_gpu = [torch.zeros(i.shape, dtype=i.dtype, device="cuda") for i in inputs]
        held, labels, *_ = on_device._masks_and_labels(form, *on_gpu)
    assert crossings.found == []
    assert held.device.type == labels.device.type == "cuda"


def test_pixels_of_boxes_are_counted_row_by_row():
    table = on_device.box_table([(2, 1, 4, 3), (5, 5, 5, 9), (0, 0, 1, 1)], 4)
    pixels = on_device.BoxPixels(torch.from_numpy(table), 7)
    assert pixels.owner.tolist() == [0, 0, 0, 0, 2, 4, 4]
    assert pixels.is_owned.tolist() == [True] * 5 + [False] * 2
    assert pixels.x.tolist() == [2, 3, 2, 3, 0, 0, 0]
    assert pixels.y.tolist() == [1, 1, 2, 2, 0, 0, 0]
    held = torch.tensor([True, False, True, True, True, True, True])
    assert pixels.sums(held).tolist() == [3, 0, 1, 0, 0]
    np.testing.assert_allclose(pixels.sums(torch.full((7,), 0.5)), [2, 0, 0.5, 0, 0])
