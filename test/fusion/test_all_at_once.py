from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import CAR, ROAD, instances_of, random_scene, semantic_of

from panoptic_ros.fusion import FusionOptions, merge
from panoptic_ros.fusion.all_at_once import BoxPixels, lay_all, paste_all
from panoptic_ros.fusion.candidates import select
from panoptic_ros.fusion.masks import paste, pasted, pixel_box
from panoptic_ros.upsampling import upsample_crop

ALL = FusionOptions(score_threshold=0)


def laid_by_both(semantic, instances, options):
    """Return the canvas of the loop and of both lengths of the form without one."""
    candidates = select(semantic, instances, options)
    crops = pasted(candidates.boxes, candidates.masks, semantic.image_size, options.mask_threshold)
    plain = merge._lay_instances(semantic, candidates, crops, options)
    height, width = semantic.image_size
    stuff = merge._stuff_probability(semantic)[None]
    stuff = upsample_crop(stuff, semantic.image_size, (0, 0, width, height))[0]
    rest = (crops, candidates.values, semantic.image_size, options)
    rest = (*rest, stuff if options.semantic_veto < 1 else None)
    return plain, lay_all(*rest), lay_all(*rest, rounds=len(crops) + 1)


def check(semantic, instances, options=ALL):
    plain, (early, is_final), (late, is_late_final) = laid_by_both(semantic, instances, options)
    assert is_late_final
    assert torch.equal(late, plain)
    assert not is_final or torch.equal(early, plain)
    return bool(is_final)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("count", [1, 12, 100])
def test_random_instances_lie_as_in_the_loop(seed, threshold, count):
    semantic, instances = random_scene(seed, count=count)
    check(semantic, instances, replace(ALL, overlap_threshold=threshold))


def test_the_veto_is_that_of_the_loop():
    semantic, instances = random_scene(4, count=20)
    for veto in (0.2, 0.5, 0.8):
        assert check(semantic, instances, replace(ALL, semantic_veto=veto))


@pytest.mark.parametrize(("count", "settled"), [(3, True), (12, False)])
def test_a_chain_of_covered_instances_takes_a_round_each(count, settled):
    """Each covers two of three pixels of the next: every second one is dropped."""
    semantic = semantic_of([[ROAD] * (count + 3)])
    rows = [(CAR, 0.9 - 0.05 * i, (i, 0, i + 3, 1)) for i in range(count)]
    assert check(semantic, instances_of(*rows)) is settled


def test_equal_scores_the_same_box_and_masks_without_a_pixel():
    semantic = semantic_of([[ROAD] * 6] * 4)
    rows = [(CAR, 0.5, (1, 1, 5, 3))] * 3 + [(CAR, 0.5, (0, 0, 6, 4))]
    masks = torch.ones(4, 28, 28)
    masks[1] = 0
    assert check(semantic, instances_of(*rows, mask=masks))


@pytest.mark.parametrize("seed", range(3))
def test_pasted_at_once_equals_pasted_one_by_one(seed):
    _, instances = random_scene(seed, count=15)
    boxes = instances.boxes.double().numpy()
    boxes[0] = (-30, -20, 300, 200)
    boxes[1] = (3.5, 4.5, 4.5, 5.5)
    crops = [pixel_box(box, (96, 160)) for box in boxes]
    pixels = BoxPixels(crops, torch.device("cpu"))
    found = pixels.crops(paste_all(pixels, boxes, instances.masks))
    for got, mask, box, crop in zip(found, instances.masks, boxes, crops, strict=True):
        torch.testing.assert_close(got, paste(mask, box, crop), atol=2e-5, rtol=0)


def test_pixels_of_boxes_are_counted_row_by_row():
    pixels = BoxPixels([(2, 1, 4, 3), (5, 5, 5, 9), (0, 0, 1, 1)], torch.device("cpu"))
    assert pixels.owner.tolist() == [0, 0, 0, 0, 2]
    assert pixels.x.tolist() == [2, 3, 2, 3, 0]
    assert pixels.y.tolist() == [1, 1, 2, 2, 0]
    assert pixels.sums(torch.tensor([True, False, True, True, True])).tolist() == [3, 0, 1]
    np.testing.assert_allclose(pixels.sums(torch.full((5,), 0.5)), [2, 0, 0.5])
