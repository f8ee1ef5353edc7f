import pytest
import torch
from pyramid import pyramid, unreached
from torchvision.ops import batched_nms, box_iou, roi_align

from panoptic_ros.networks.instances import yolact
from panoptic_ros.networks.instances.yolact import (
    PROTOTYPES,
    RawInstances,
    YolactHead,
    anchors_of,
    detect,
    fast_nms,
    mask_logits,
)

SIZES = (16, 32, 64, 128, 256)


def head(num_classes=2):
    torch.manual_seed(0)
    return YolactHead(32, num_classes, channels=32, anchor_sizes=SIZES)


def a_target():
    """A rectangle of class 1 and one of class 2 in 64 x 96 pixels."""
    masks = torch.zeros(2, 64, 96)
    masks[0, 8:40, 4:36] = 1
    masks[1, 20:60, 50:90] = 1
    boxes = torch.tensor([[4.0, 8, 36, 40], [50, 20, 90, 60]])
    return {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks}


def test_shapes_agree_over_all_anchors():
    raw = head()(pyramid(batch=2)[1:])
    cells = 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2 + 1 * 1
    assert raw.logits.shape == (2, 3 * cells, 3)
    assert raw.boxes.shape == (2, 3 * cells, 4)
    assert raw.coefficients.shape == (2, 3 * cells, PROTOTYPES)
    assert raw.anchors.shape == (3 * cells, 4)
    assert raw.prototypes.shape == (2, PROTOTYPES, 16, 24)
    assert raw.prototypes.min() >= 0
    assert raw.coefficients.abs().max() <= 1


def test_an_anchor_stands_on_the_middle_of_its_cell():
    levels = [torch.zeros(1, 1, 1, 2)] + [torch.zeros(1, 1, 1, 1)] * 4
    anchors = anchors_of(levels, SIZES)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centres[::3].tolist() == [[4, 4], [12, 4], [8, 8], [16, 16], [32, 32], [64, 64]]
    width, height = (anchors[1, 2:] - anchors[1, :2]).tolist()
    assert height / width == pytest.approx(0.5)
    assert height * width == pytest.approx(256)


def literal_fast_nms(boxes, scores, threshold):
    """Remove whatever a better box overlaps, removed or not."""
    iou = box_iou(boxes, boxes)
    return [
        bool(scores[i] > 0) and not any(iou[j, i] > threshold for j in range(i))
        for i in range(len(boxes))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_fast_nms_equals_its_definition(seed):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(3, 40, 2, generator=generator) * 50
    boxes = torch.cat([corners, corners + 5 + torch.rand(3, 40, 2, generator=generator) * 30], 2)
    scores = torch.rand(3, 40, generator=generator).sort(dim=1, descending=True).values
    scores[:, 35:] = 0
    kept = fast_nms(boxes, scores)
    for c in range(3):
        assert kept[c].tolist() == literal_fast_nms(boxes[c], scores[c], 0.5)
    # It never keeps what the sequential algorithm removes.
    for c in range(3):
        sequential = batched_nms(boxes[c], scores[c], torch.zeros(40), 0.5)
        assert set(kept[c].nonzero()[:, 0].tolist()) <= set(sequential.tolist())


def test_equal_boxes_leave_the_first():
    boxes = torch.tensor([[[0.0, 0, 4, 4]] * 3])
    assert fast_nms(boxes, torch.tensor([[0.9, 0.9, 0.5]])).tolist() == [[True, False, False]]


def raw_of(scores, anchors):
    """Raw predictions whose boxes are their anchors."""
    count = len(anchors)
    logits = torch.full((1, count, 3), -20.0)
    for i, (label, score) in enumerate(scores):
        logits[0, i, 0] = torch.tensor(1 - score).log()
        logits[0, i, label] = torch.tensor(score).log()
    coefficients = torch.eye(count, PROTOTYPES)[None]
    prototypes = torch.zeros(1, PROTOTYPES, 2, 2)
    return RawInstances(
        logits, torch.zeros(1, count, 4), coefficients, prototypes, torch.tensor(anchors)
    )


def test_detections_are_fixed_in_number_with_a_mask_of_what_counts():
    raw = raw_of(
        [(1, 0.6), (1, 0.9), (2, 0.8), (1, 0.2)],
        [[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [20, 20, 40, 30]],
    )
    found = detect(raw, 0, (25, 30), detections=3, score_threshold=0.3)
    assert found.scores[:2].tolist() == pytest.approx([0.9, 0.8])
    assert found.valid.tolist() == [True, True, False]
    assert found.labels[:2].tolist() == [1, 2]
    assert found.coefficients[:2].argmax(1).tolist() == [1, 2]
    found = detect(raw, 0, (25, 30), detections=8, score_threshold=0.1)
    assert found.boxes[found.valid].tolist()[-1] == [20, 20, 30, 25]


def test_masks_are_sums_of_prototypes():
    prototypes = torch.arange(2 * 6.0).view(2, 2, 3)
    expected = 2 * prototypes[0] - prototypes[1]
    assert torch.equal(mask_logits(torch.tensor([[2.0, -1.0]]), prototypes)[0], expected)


def test_masks_are_sampled_as_an_aligned_roi_align_does():
    coefficients, prototypes = torch.rand(5, 3) - 0.5, torch.rand(3, 16, 32)
    # The picture, nothing, two corners and something between pixels.
    corners = [(0, 0, 128, 64), (9, 9, 9, 9), (0, 0, 5, 3), (120, 60, 128, 64), (7.3, 9.1, 77, 40)]
    boxes = torch.tensor(corners)
    rois = torch.cat([torch.arange(5.0)[:, None], boxes], dim=1)
    drawn = yolact.mask_logits(coefficients, prototypes)[:, None]
    expected = roi_align(drawn, rois, yolact.MASK_SIDE, 0.25, 1, aligned=True)[:, 0].sigmoid()
    found = yolact.box_masks(coefficients, prototypes, boxes, 128)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        half = yolact.box_masks(coefficients, prototypes, boxes, 128)
    assert torch.equal(half, found)


def test_gradients_reach_every_parameter():
    network = YolactHead(32, 2, channels=32, anchor_sizes=(16, 32, 48, 64, 128))
    levels = pyramid(batch=2)[1:]
    raw = network(levels)
    # Objects of the coarsest levels' anchors, too.
    target = a_target()
    target["boxes"] = torch.cat(
        [target["boxes"], torch.tensor([[0.0, 0, 64, 64], [0, 0, 128, 128]])]
    )
    target["labels"] = torch.tensor([1, 2, 1, 2])
    target["masks"] = torch.cat([target["masks"], torch.ones(2, 64, 96)])
    parts = yolact.losses(raw, network.semantic(levels[0]), [target] * 2)
    assert set(parts) == {"confidence", "box", "mask", "semantic"}
    sum(parts.values()).backward()
    assert unreached(network) == []


def test_an_image_without_instances_has_finite_losses():
    network = head()
    levels = pyramid(batch=1)[1:]
    nothing = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 64, 96),
    }
    parts = yolact.losses(network(levels), network.semantic(levels[0]), [nothing])
    total = sum(parts.values())
    total.backward()
    assert total.isfinite()
    assert parts["box"] == parts["mask"] == 0


def test_it_learns_a_picture():
    network = head()
    levels = [level[:1] for level in pyramid(batch=1)[1:]]
    target = a_target()
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(120):
        optimizer.zero_grad()
        parts = yolact.losses(network(levels), network.semantic(levels[0]), [target])
        sum(parts.values()).backward()
        optimizer.step()
    with torch.no_grad():
        raw = network(levels)
        found = detect(raw, 0, (64, 96), detections=5, score_threshold=0.5)
        assert sorted(found.labels[found.valid].tolist()) == [1, 2]
        order = found.labels[:2].argsort()
        assert box_iou(found.boxes[order], target["boxes"]).diagonal().min() > 0.7
        masks = mask_logits(found.coefficients[order], raw.prototypes[0]) > 0
        truth = torch.nn.functional.interpolate(target["masks"][None], (16, 24))[0] > 0
        assert (masks & truth).sum() / truth.sum() > 0.8
