import numpy as np
import pytest
import torch
from scenes import random_scene
from torch.nn import functional as F

from benchmarks.reference import paste_full
from panoptic_ros.upsampling import argmax_upsampled, paste, pixel_box, upsample_crop

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


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ((1, 1, 4, 3), (1, 1, 4, 3)),
        ((0.5, 0.6, 2.5, 2.6), (0, 1, 2, 3)),
        ((-3, -3, 2, 99), (0, 0, 2, 5)),
        ((5, 1, 3, 2), (5, 1, 5, 2)),
        ((20, 20, 30, 30), (9, 5, 9, 5)),
    ],
)
def test_pixel_box_holds_the_centres_inside(box, pixels):
    assert pixel_box(np.array(box), (5, 9)) == pixels


def test_paste_interpolates_between_bins_and_falls_to_zero_outside():
    mask = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    pasted = paste(mask, np.array([0, 0, 8, 2]), (0, 0, 10, 1))
    # Bin centres lie at x = 2 and x = 6; beyond the outer bins the mask fades to zero.
    expected = [0, 0, 0.125, 0.375, 0.625, 0.875, 0.875, 0.625, 0.375, 0.125]
    np.testing.assert_allclose(pasted[0] / pasted.max() * 0.875, expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_paste_equals_grid_sample_over_the_whole_frame(seed):
    _, instances = random_scene(seed, count=5)
    size = (96, 160)
    full = paste_full(instances, size)
    for expected, mask, box in zip(full, instances.masks, instances.boxes.numpy(), strict=True):
        torch.testing.assert_close(
            paste(mask, box, (0, 0, size[1], size[0])), expected, atol=2e-5, rtol=0
        )
        x0, y0, x1, y1 = pixel_box(box, size)
        torch.testing.assert_close(
            paste(mask, box, (x0, y0, x1, y1)), expected[y0:y1, x0:x1], atol=2e-5, rtol=0
        )
