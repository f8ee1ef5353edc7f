import math

import pytest
import torch

from panoptic_ros.training.losses import class_weights, hard_cross_entropy


def test_class_weights_are_inverse_roots_with_mean_one_per_pixel():
    pixels = torch.tensor([64, 16, 0])
    weights = class_weights(pixels, largest=10.0)
    assert weights[1] / weights[0] == pytest.approx(2.0)
    assert weights[2] == 0
    assert (weights * pixels).sum() / pixels.sum() == pytest.approx(1.0)


def test_class_weights_are_limited():
    weights = class_weights(torch.tensor([10**8, 1]), largest=5.0)
    assert weights[1] == 5.0


def _logits_of(probabilities):
    """Return logits [1, 2, 1, N] whose softmax gives class 0 these probabilities."""
    p = torch.tensor(probabilities)
    return torch.stack([p.log(), (1 - p).log()])[None, :, None]


def test_hard_cross_entropy_takes_the_hardest_share_of_the_labelled_pixels():
    logits = _logits_of([0.9, 0.5, 0.25, 0.01, 0.8])
    # The last but one pixel would be the hardest, but nobody knows what it is.
    target = torch.tensor([[[0, 0, 0, 255, 0]]])
    loss = hard_cross_entropy(logits, target, torch.ones(2), fraction=0.5)
    assert loss.item() == pytest.approx((math.log(2) + math.log(4)) / 2, rel=1e-5)


def test_hard_cross_entropy_takes_a_pixel_at_least():
    loss = hard_cross_entropy(
        _logits_of([0.9, 0.25]), torch.tensor([[[0, 0]]]), torch.ones(2), fraction=1e-300
    )
    assert loss.item() == pytest.approx(math.log(4), rel=1e-5)


def test_hard_cross_entropy_weighs_classes():
    logits = _logits_of([0.5, 0.5])
    target = torch.tensor([[[0, 1]]])
    loss = hard_cross_entropy(logits, target, torch.tensor([1.0, 3.0]), fraction=1.0)
    assert loss.item() == pytest.approx(2 * math.log(2), rel=1e-5)


def test_hard_cross_entropy_of_an_unlabelled_batch_is_zero_and_differentiable():
    logits = torch.randn(1, 2, 2, 2, requires_grad=True)
    loss = hard_cross_entropy(logits, torch.full((1, 2, 2), 255), torch.ones(2), 0.3)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0
