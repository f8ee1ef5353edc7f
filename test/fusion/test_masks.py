import numpy as np
import pytest
import torch
from scenes import random_scene

from benchmarks.reference import paste_full
from panoptic_ros.fusion.masks import paste, pixel_box


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
