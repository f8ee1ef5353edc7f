import math

import pytest
import torch

from panoptic_ros.training.targets import IGNORE
from panoptic_ros.training.upsnet_loss import panoptic_loss

# Two stuff classes, then two thing classes.
IS_THING = torch.tensor([False, False, True, True])
SIZE = (4, 8)


def target(*instances, stride=1):
    """Return (label, (x0, y0, x1, y1)) in cells as a target of images `stride` times larger."""
    masks = torch.zeros(len(instances), SIZE[0] * stride, SIZE[1] * stride, dtype=torch.uint8)
    boxes = [tuple(stride * value for value in box) for _, box in instances]
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = 1
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor([label for label, _ in instances], dtype=torch.int64),
        "masks": masks,
    }


def channels_of(found, stuff=0):
    channels = torch.full(found["masks"].shape[1:], stuff)
    for mask, label in zip(found["masks"], found["labels"], strict=True):
        channels[mask.bool()] = 1 + label
    return channels


def literal(logits, mask_logits, found, channels, kept):
    """The paper's panoptic logits, pixel by pixel; masks of one value."""
    total, count = 0.0, 0
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            inside = []
            for i, (x0, y0, x1, y1) in enumerate(found["boxes"].tolist()):
                if kept[i]:
                    inside.append((i, x0 <= x < x1 and y0 <= y < y1))
            of_class = {i: logits[1 + found["labels"][i], y, x] for i, within in inside if within}
            scores = {f"stuff {c}": logits[c, y, x] for c in range(2)}
            scores |= {i: value + mask_logits[i, 0, 0] for i, value in of_class.items()}
            scores["unknown"] = logits[2:, y, x].max() - max(of_class.values(), default=0)
            owner = [i for i, mask in enumerate(found["masks"]) if mask[y, x]]
            if owner:
                truth = owner[-1] if kept[owner[-1]] else "unknown"
            elif channels[y, x] in (0, 1):
                truth = f"stuff {channels[y, x]}"
            else:
                continue
            denominator = sum(math.exp(value) for value in scores.values())
            total -= math.log(math.exp(scores[truth]) / denominator)
            count += 1
    return total / count


@pytest.mark.parametrize("kept", [(True, True), (True, False), (False, False)])
def test_equals_the_paper_s_logits(kept):
    torch.manual_seed(0)
    logits = torch.randn(4, *SIZE)
    found = target((1, (0, 0, 4, 3)), (2, (2, 1, 7, 4)))
    channels = channels_of(found, stuff=1)
    # A group, and what is ignored.
    channels[0, 7], channels[3, 0] = 2, IGNORE
    mask_logits = torch.tensor([1.5, -0.5])[:, None, None].expand(2, 28, 28)
    kept = torch.tensor(kept)
    # Pasted masks fade in the outermost half bin of 28: no cell's centre lies there.
    loss = panoptic_loss(logits, mask_logits, found, channels, IS_THING, kept)
    assert loss.item() == pytest.approx(literal(logits, mask_logits, found, channels, kept), 1e-4)


@pytest.mark.parametrize("stride", [1, 4])
def test_right_logits_cost_nothing(stride):
    found = target((1, (0, 0, 4, 3)), (2, (4, 1, 7, 4)), stride=stride)
    channels = channels_of(found)
    logits = torch.zeros(4, *SIZE)
    logits[0] = 20
    logits[2, :3, :4] = logits[3, 1:4, 4:7] = 40
    masks, kept = torch.full((2, 28, 28), 20.0), torch.tensor([True, True])
    assert panoptic_loss(logits, masks, found, channels, IS_THING, kept) < 1e-4
    # Left out, an instance's pixels are unknown: its class is likely there, and no box is.
    kept = torch.tensor([True, False])
    assert panoptic_loss(logits, masks, found, channels, IS_THING, kept) < 1e-4


def test_no_instances_and_nothing_known():
    logits = torch.randn(4, *SIZE, requires_grad=True)
    empty, masks = target(), torch.zeros(0, 28, 28)
    none = torch.zeros(0, dtype=torch.bool)
    assert panoptic_loss(logits, masks, empty, torch.zeros(SIZE).long(), IS_THING, none) > 0
    ignored = torch.full(SIZE, IGNORE)
    loss = panoptic_loss(logits, masks, empty, ignored, IS_THING, none)
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


def test_gradients_are_finite_and_reach_masks_and_classes():
    logits = torch.randn(4, *SIZE, requires_grad=True)
    masks = torch.randn(2, 28, 28, requires_grad=True)
    found = target((1, (0, 0, 4, 3)), (1, (2, 1, 7, 4)))
    kept = torch.tensor([True, True])
    panoptic_loss(logits, masks, found, channels_of(found), IS_THING, kept).backward()
    assert logits.grad.isfinite().all()
    assert masks.grad.isfinite().all()
    assert masks.grad.abs().sum((1, 2)).min() > 0
    assert logits.grad.abs().sum((1, 2)).min() > 0
