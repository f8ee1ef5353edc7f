import pytest
import torch
from pyramid import odd_pyramid, pyramid, unreached
from torch.nn import functional as F

from panoptic_ros.networks.semantic.deformable_subnet import DeformableSubnet
from panoptic_ros.networks.semantic.fpn_branch import FpnBranch
from panoptic_ros.networks.semantic.pyramid_pooling import PyramidPooling
from panoptic_ros.networks.semantic.stacked_convolutions import StackedConvolutions

HEADS = {FpnBranch: 4, DeformableSubnet: 4, PyramidPooling: 8, StackedConvolutions: 4}


@pytest.mark.parametrize(("head", "stride"), HEADS.items())
def test_shape_and_gradients_reach_every_parameter(head, stride):
    torch.manual_seed(0)
    network = head(32, 5, channels=32)
    logits = network(pyramid())
    assert logits.shape == (2, 5, 64 // stride, 96 // stride)
    F.cross_entropy(logits, torch.randint(5, (2, *logits.shape[2:]))).backward()
    assert unreached(network) == []


@pytest.mark.parametrize(("head", "stride"), HEADS.items())
def test_levels_whose_sides_are_no_multiples(head, stride):
    expected = (25, 35) if stride == 4 else (13, 18)
    assert head(32, 5, channels=32)(odd_pyramid()).shape[2:] == expected


@pytest.mark.parametrize("head", HEADS)
def test_it_learns_a_picture(head):
    torch.manual_seed(0)
    network = head(32, 3, channels=32)
    levels = pyramid(batch=2)
    truth = (torch.arange(96) // 32).expand(2, 64, 96)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        logits = F.interpolate(network(levels), (64, 96), mode="bilinear")
        loss = F.cross_entropy(logits, truth)
        loss.backward()
        optimizer.step()
    assert (logits.argmax(1) == truth).float().mean() > 0.9


def test_the_fpn_branch_upsamples_as_often_as_the_paper_says():
    assert [len(stages) for stages in FpnBranch(32, 5).levels] == [1, 1, 2, 3]


def test_offsets_of_zero_are_a_plain_convolution():
    stage = DeformableSubnet(32, 5, channels=32).subnet[0]
    x = torch.randn(1, 32, 7, 9)
    plain = F.relu(stage.norm(F.conv2d(x, stage.convolution.weight, padding=1)))
    torch.testing.assert_close(stage(x), plain)


def test_pooled_windows_are_means():
    """Features that are one number everywhere stay so in every branch."""
    network = PyramidPooling(32, 5, channels=32)
    pooled = []
    for branch in network.branches:
        branch.register_forward_hook(lambda module, inputs, output: pooled.append(inputs[0]))
    level = torch.full((2, 32, 23, 37), 3.0)
    network([torch.zeros(2, 32, 46, 74), level, level, level])
    assert [tuple(p.shape[2:]) for p in pooled] == [(1, 1), (1, 2), (2, 2), (3, 4)]
    assert all(torch.allclose(p, torch.tensor(3.0)) for p in pooled)
