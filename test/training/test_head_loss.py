import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks.reference import head_reference
from panoptic_ros.fusion.conv_head import region
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.networks import PanopticHead
from panoptic_ros.prediction import SemanticPrediction
from panoptic_ros.training import head_loss as module
from panoptic_ros.training.head_loss import head_loss
from panoptic_ros.upsampling import paste

SIZE = (24, 40)
THINGS = [c.id for c in CITYSCAPES.things]


def scene():
    """Return semantic logits of a quarter of the size, and a person and a car."""
    torch.manual_seed(0)
    boxes = torch.tensor([[4.0, 2, 14, 22], [16, 8, 38, 20]])
    masks = torch.zeros(2, *SIZE, dtype=torch.uint8)
    masks[0, 2:22, 4:14], masks[1, 8:20, 16:38] = 1, 1
    target = {"boxes": boxes, "labels": torch.tensor([1, 3]), "masks": masks}
    return torch.randn(19, SIZE[0] // 4, SIZE[1] // 4), target


def head_of(seed):
    head = PanopticHead(THINGS)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return head


def test_equals_the_report_s_form_on_whole_frames():
    logits, target = scene()
    head, mask_logits = head_of(1), torch.randn(2, 28, 28)
    semantic = SemanticPrediction(logits, SIZE, CITYSCAPES)
    expected = []
    for i, class_id in enumerate((24, 26)):
        box = target["boxes"][i].double().numpy()
        own = paste(mask_logits[i].sigmoid(), box, (0, 0, SIZE[1], SIZE[0]))
        refined = head_reference(head, semantic.upsampled().softmax(0), own, class_id)
        x0, y0, x1, y1 = region(box, SIZE)
        truth = target["masks"][i, y0:y1, x0:x1].float()
        expected.append(F.binary_cross_entropy_with_logits(refined[y0:y1, x0:x1], truth))
    loss = head_loss(head, semantic, mask_logits, target)
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-4)


def test_the_gradient_reaches_both_networks_and_the_head():
    logits, target = scene()
    logits.requires_grad_()
    mask_logits = torch.randn(2, 28, 28, requires_grad=True)
    head = head_of(2)
    head_loss(head, SemanticPrediction(logits, SIZE, CITYSCAPES), mask_logits, target).backward()
    assert mask_logits.grad.abs().sum((1, 2)).min() > 0
    assert logits.grad.abs().sum((1, 2)).min() > 0
    learned = {i for i in THINGS if head.cnn(i).mix.weight.grad is not None}
    assert learned == {24, 26}


def test_large_instances_are_seen_in_windows_and_many_by_some(monkeypatch):
    logits, target = scene()
    monkeypatch.setattr(module, "WINDOW", 8)
    monkeypatch.setattr(module, "MOST_INSTANCES", 1)
    sizes = []
    monkeypatch.setattr(
        F,
        "binary_cross_entropy_with_logits",
        lambda found, truth: sizes.append(tuple(truth.shape)) or found.mean(),
    )
    semantic = SemanticPrediction(logits, SIZE, CITYSCAPES)
    for _ in range(5):
        head_loss(head_of(3), semantic, torch.zeros(2, 28, 28), target)
    assert sizes == [(8, 8)] * 5


def test_without_instances_there_is_nothing_to_learn():
    logits = scene()[0].requires_grad_()
    empty = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, *SIZE, dtype=torch.uint8),
    }
    semantic = SemanticPrediction(logits, SIZE, CITYSCAPES)
    loss = head_loss(PanopticHead(THINGS), semantic, torch.zeros(0, 28, 28), empty)
    loss.backward()
    assert loss.item() == 0
    assert np.count_nonzero(logits.grad.numpy()) == 0
