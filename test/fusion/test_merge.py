from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import CAR, PERSON, ROAD, SKY, instances_of, random_scene, semantic_of

from panoptic_ros.fusion import FusionOptions, make_strategy, merge, possible
from panoptic_ros.fusion.masks import pasted
from panoptic_ros.fusion.merge import lay_all, select
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


SCENE = semantic_of([[ROAD] * 4 + [SKY] * 4] * 2)
INSTANCES = instances_of((CAR, 0.6, (0, 0, 2, 2)), (PERSON, 0.4, (4, 0, 6, 2)))


def merged(strategy, **options):
    options = FusionOptions(stuff_area_limit=0, **options)
    return make_strategy(strategy)(SCENE, INSTANCES, options)


@pytest.mark.parametrize("strategy", possible(None))
def test_a_class_can_have_a_threshold_of_its_own(strategy):
    assert {s.id for s in merged(strategy).segments} == {7, 23, 26000}
    both = merged(strategy, class_thresholds={24: 0.4, 26: 0.6})
    assert {s.id for s in both.segments} == {7, 23, 24000, 26000}
    person = merged(strategy, class_thresholds={24: 0.4, 26: 0.61})
    assert {s.id for s in person.segments} == {7, 23, 24000}


@pytest.mark.parametrize("strategy", possible(None))
def test_what_is_not_among_the_classes_is_not_there(strategy):
    result = merged(strategy, score_threshold=0.0, classes=(7, 24))
    assert {s.id for s in result.segments} == {7, 24000}
    assert set(np.unique(result.labels).tolist()) == {0, 7, 24000}
    # The car's place is what it would be without a car.
    assert result.labels[0].tolist() == [7, 7, 7, 7, 24000, 24000, 0, 0]


def test_a_threshold_of_a_class_has_a_range():
    with pytest.raises(ValueError, match=r"class_thresholds: 1.5 for class 24; .* in 0..1"):
        FusionOptions(class_thresholds={24: 1.5})
