import math

import numpy as np
import pytest
import torch
from scenes import CAR, CHANNEL, PERSON, ROAD, SKY, instances_of, random_scene, semantic_of

from benchmarks.reference import paste_full
from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.upsnet import EPSILON, upsnet
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import SemanticPrediction

ANY_SIZE = FusionOptions(stuff_area_limit=0)


def literal(semantic, instances, options):
    """The paper's logits as a list per pixel, in plain Python."""
    height, width = semantic.image_size
    logits = semantic.upsampled()
    order = torch.argsort(instances.scores, descending=True, stable=True)
    instances = instances[order]
    masks = paste_full(instances, semantic.image_size)
    chosen, taken, count = [], {}, {}
    for i, (score, class_id) in enumerate(
        zip(instances.scores.tolist(), instances.class_ids.tolist(), strict=True)
    ):
        if score < options.score_threshold:
            continue
        value = class_id * 1000 + count.get(class_id, 0)
        count[class_id] = count.get(class_id, 0) + 1
        x0, y0, x1, y1 = instances.boxes[i].tolist()
        inside = [
            [x0 <= x + 0.5 < x1 and y0 <= y + 0.5 < y1 for x in range(width)] for y in range(height)
        ]
        inside = torch.tensor(inside)
        if not inside.any():
            count[class_id] -= 1
            continue
        held = (masks[i] >= options.mask_threshold) & inside
        before = taken.get(class_id, torch.zeros_like(held))
        if (held & before).sum() > options.overlap_threshold * held.sum():
            continue
        taken[class_id] = before | held
        chosen.append((value, class_id, inside, masks[i].clamp(EPSILON, 1 - EPSILON)))
    labels = np.zeros((height, width), np.int64)
    for y in range(height):
        for x in range(width):
            choices = [
                (logits[CHANNEL[c.id], y, x].item(), c.id)
                for c in CITYSCAPES.classes
                if not c.is_thing
            ]
            terms = []
            for value, class_id, inside, mask in chosen:
                if inside[y, x]:
                    term = logits[CHANNEL[class_id], y, x].item()
                    p = mask[y, x].item()
                    terms.append(term)
                    choices.append((term + math.log(p / (1 - p)), value))
            thing = max(logits[CHANNEL[c.id], y, x].item() for c in CITYSCAPES.things)
            choices.append((thing - max(terms, default=0), 0))
            best = max(score for score, _ in choices)
            labels[y, x] = next(value for score, value in choices if score == best)
    for c in CITYSCAPES.stuff:
        if (labels == c.id).sum() < options.stuff_area_limit:
            labels[labels == c.id] = 0
    return labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "options",
    [ANY_SIZE, FusionOptions(0.6, 0.3, 60), FusionOptions(0.0, 0.0, 0, 0.3)],
)
def test_equals_the_papers_logits(seed, options):
    semantic, instances = random_scene(seed, size=(32, 48), count=8)
    expected = literal(semantic, instances, options)
    result = upsnet(semantic, instances, options)
    assert (result.labels != expected).mean() <= 2e-3
    assert {s.id for s in result.segments} == set(np.unique(result.labels)) - {0}


def test_a_car_wins_where_mask_and_semantics_agree():
    semantic = semantic_of([[ROAD, CAR, CAR, ROAD]])
    result = upsnet(semantic, instances_of((CAR, 0.9, (0, 0, 3, 1))), ANY_SIZE)
    # Left: road has 5, the car's class 0 and its mask log(0.9999 / 0.0001) = 9.2.
    assert result.labels.tolist() == [[26000, 26000, 26000, 7]]


def test_a_thing_that_nobody_detected_is_unknown():
    result = upsnet(semantic_of([[ROAD, CAR, SKY]]), instances_of(), ANY_SIZE)
    assert result.labels.tolist() == [[7, 0, 23]]


def test_only_better_ones_of_the_same_class_cover():
    semantic = semantic_of([[ROAD] * 6])
    boxes = (CAR, 0.9, (0, 0, 6, 1)), (CAR, 0.8, (0, 0, 6, 1)), (PERSON, 0.7, (0, 0, 6, 1))
    logits = semantic.logits.clone()
    logits[CHANNEL[PERSON], 0, 3:] = 9
    result = upsnet(
        SemanticPrediction(logits, semantic.image_size, CITYSCAPES), instances_of(*boxes), ANY_SIZE
    )
    assert result.labels.tolist() == [[26000] * 3 + [24000] * 3]


def test_small_stuff_is_unlabeled():
    semantic = semantic_of([[ROAD] * 3 + [SKY] * 2])
    result = upsnet(semantic, instances_of(), FusionOptions(stuff_area_limit=3))
    assert result.labels.tolist() == [[7, 7, 7, 0, 0]]
