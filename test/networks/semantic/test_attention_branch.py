import pytest
import torch
from pyramid import pyramid, unreached
from torch.nn import functional as F
from torchvision.ops import roi_align

from panoptic_ros.networks.semantic.attention_branch import (
    AttentionBranch,
    BackgroundSelect,
    roi_upsample,
)

BOXES = torch.tensor([[0, 8.0, 4.0, 40.0, 36.0], [1, 30.0, 10.0, 90.0, 60.0], [0, 0, 0, 96, 64]])


def aligned(features, boxes, bins):
    return roi_align(features, boxes, bins, spatial_scale=1 / 4, sampling_ratio=1, aligned=True)


@pytest.mark.parametrize("bins", [1, 3, 7])
def test_roi_upsample_is_the_adjoint_of_roi_align_up_to_the_weights(bins):
    masks = torch.randn(len(BOXES), 2, bins, bins)
    features = torch.zeros(2, 2, 16, 24, requires_grad=True)
    # A bin's sum of squared weights: what it reads of what it alone has written.
    norms = torch.empty(len(BOXES), bins, bins)
    for r, y, x in torch.cartesian_prod(*map(torch.arange, norms.shape)).view(-1, 3).tolist():
        unit = torch.zeros(len(BOXES), 2, bins, bins)
        unit[r, 0, y, x] = 1
        (written,) = torch.autograd.grad(aligned(features, BOXES, bins), features, unit)
        norms[r, y, x] = aligned(written, BOXES, bins)[r, 0, y, x]
    (adjoint,) = torch.autograd.grad(
        aligned(features, BOXES, bins), features, masks / norms[:, None]
    )
    written = roi_upsample(masks, BOXES, (2, 16, 24), spatial_scale=1 / 4)
    torch.testing.assert_close(written, adjoint, atol=1e-5, rtol=1e-4)


def test_what_one_bin_wrote_is_read_back():
    box = torch.tensor([[0, 9.0, 14.0, 50.0, 31.0]])
    mask = torch.tensor([3.5]).view(1, 1, 1, 1)
    written = roi_upsample(mask, box, (1, 16, 24), spatial_scale=1 / 4)
    torch.testing.assert_close(aligned(written, box, 1), mask)


def test_no_regions_write_nothing():
    written = roi_upsample(torch.zeros(0, 3, 7, 7), torch.zeros(0, 5), (2, 4, 6), 0.25)
    assert written.shape == (2, 3, 4, 6)
    assert not written.any()


def test_sure_foreground_adds_nothing_and_sure_background_doubles():
    select = BackgroundSelect(1, 4)
    stuff = torch.rand(1, 4, 3, 3)
    with torch.no_grad():
        select.attention[2].weight.zero_()
        select.excite[3].weight.zero_()
        select.excite[3].bias.fill_(-100)
        for bias, factor in ((100.0, 1), (-100.0, 2)):
            select.attention[2].bias.fill_(bias)
            torch.testing.assert_close(select(stuff, torch.rand(1, 1, 3, 3)), factor * stuff)


def test_shape_gradients_and_a_picture_to_learn():
    torch.manual_seed(0)
    branch = AttentionBranch(32, 3, rpn_channels=32, mask_channels=3, channels=32)
    levels, rpn = pyramid(), pyramid()
    masks = torch.rand(len(BOXES), 3, 14, 14)
    truth = (torch.arange(24) // 8).expand(2, 16, 24)
    optimizer = torch.optim.Adam(branch.parameters(), 3e-3)
    for step in range(40):
        optimizer.zero_grad()
        logits = branch(levels, rpn, masks, BOXES)
        F.cross_entropy(logits, truth).backward()
        if step == 0:
            assert logits.shape == (2, 3, 16, 24)
            assert unreached(branch) == []
        optimizer.step()
    assert (logits.argmax(1) == truth).float().mean() > 0.9
