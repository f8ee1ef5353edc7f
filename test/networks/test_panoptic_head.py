import pytest
import torch
from torch.nn import functional as F

from benchmarks.reference import head_reference
from panoptic_ros.networks.panoptic_head import ClassCNN, PanopticHead


@pytest.mark.parametrize(("depthwise", "mix"), [(1, 1), (3, 3), (5, 3), (3, 1)])
def test_kernel_is_both_convolutions_in_one(depthwise, mix):
    torch.manual_seed(0)
    cnn = ClassCNN(4, depthwise, mix)
    for parameter in cnn.parameters():
        torch.nn.init.normal_(parameter)
    size = 2 * cnn.radius + 1
    x = torch.rand(2, 4, 9, 12)
    assert cnn.kernel().shape == (1, 4, size, size)
    torch.testing.assert_close(F.conv2d(x, cnn.kernel(), cnn.mix.bias), cnn(x), atol=1e-4, rtol=0)
    assert cnn(x).shape == (2, 1, 9 - 2 * cnn.radius, 12 - 2 * cnn.radius)


@pytest.mark.parametrize("probability", [0.0, 0.49, 0.51, 1.0])
def test_starts_as_the_identity_whatever_the_semantic_masks_say(probability):
    head = PanopticHead([24, 26])
    mask = torch.full((6, 6), probability)
    logits = head_reference(head, torch.rand(19, 6, 6), mask, 26)
    assert ((logits > 0) == (mask > 0.5)).all()
    assert logits.sigmoid().sub(mask).abs().max() < 0.02


def test_every_semantic_channel_can_learn_from_the_first_step():
    head = PanopticHead([26])
    head_reference(head, torch.rand(19, 6, 6), torch.rand(6, 6), 26).sum().backward()
    assert (head.cnn(26).mix.weight.grad.abs().amax(dim=(0, 2, 3)) > 0).all()


@pytest.mark.parametrize("kernels", [(2, 3), (3, 0), (3, -1)])
def test_even_kernels_are_refused(kernels):
    with pytest.raises(ValueError, match="odd and positive"):
        PanopticHead([26], 19, *kernels)


def test_a_class_without_a_cnn_is_named():
    with pytest.raises(ValueError, match="no CNN for class 7"):
        PanopticHead([26]).cnn(7)
