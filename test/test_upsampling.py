import pytest
import torch
from torch.nn import functional as F

from panoptic_ros.upsampling import argmax_upsampled, upsample_crop

SIZES = [
    ((5, 7), (20, 28)),
    ((5, 7), (21, 30)),
    ((8, 6), (5, 4)),
    ((1, 3), (9, 7)),
    ((4, 4), (4, 4)),
]


@pytest.mark.parametrize(("low", "high"), SIZES)
def test_argmax_equals_interpolating_first(low, high):
    logits = torch.randn(19, *low, generator=torch.Generator().manual_seed(1))
    dense = F.interpolate(logits[None], high, mode="bilinear", align_corners=False)[0].argmax(0)
    assert torch.equal(argmax_upsampled(logits, high).long(), dense)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_argmax_where_few_neighbours_differ(factor):
    """Smooth scores: most pixels have their corners' channel, the others are computed."""
    coarse = torch.randn(1, 19, 3, 5, generator=torch.Generator().manual_seed(3))
    logits = F.interpolate(coarse, (24, 40), mode="bilinear")[0]
    # A channel that wins between two corners and at neither.
    logits[7, 4:6, 9] = logits[:, 4:6, 9].max() + 0.1
    size = (24 * factor, 40 * factor)
    dense = F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0].argmax(0)
    assert torch.equal(argmax_upsampled(logits, size).long(), dense)


def test_argmax_takes_the_first_of_equals():
    assert argmax_upsampled(torch.zeros(3, 2, 2), (4, 4)).unique().tolist() == [0]


@pytest.mark.parametrize(("low", "high"), SIZES)
def test_crop_equals_the_part_of_the_whole(low, high):
    logits = torch.randn(3, *low, generator=torch.Generator().manual_seed(2))
    whole = F.interpolate(logits[None], high, mode="bilinear", align_corners=False)[0]
    for x0, y0, x1, y1 in [(0, 0, high[1], high[0]), (1, 2, 4, 3), (high[1] - 1, 0, high[1], 2)]:
        part = upsample_crop(logits, high, (x0, y0, x1, y1))
        torch.testing.assert_close(part, whole[:, y0:y1, x0:x1], atol=1e-6, rtol=1e-5)
