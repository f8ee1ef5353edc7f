import numpy as np
import pytest
import torch
from scenes import CAR, CHANNEL, PERSON, ROAD, SKY, instances_of, random_scene, semantic_of

from benchmarks.reference import paste_full
from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.degeus import degeus, grow_to_components
from panoptic_ros.fusion.merge import select
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction

ANY_SIZE = FusionOptions(stuff_area_limit=0)


def literal(semantic, instances, options):
    """The paper's rules pixel by pixel, after the exchange of boxes."""
    candidates = grow_to_components(semantic, select(semantic, instances, options))
    boxes = torch.from_numpy(candidates.boxes).float()
    grown = InstancePrediction(
        boxes,
        torch.from_numpy(candidates.class_ids),
        torch.from_numpy(candidates.scores),
        candidates.masks,
    )
    masks = paste_full(grown, semantic.image_size) if len(grown) else []
    probabilities = semantic.upsampled().softmax(0)
    height, width = semantic.image_size
    labels = np.zeros((height, width), np.int64)
    stuff = [c.id for c in CITYSCAPES.stuff]

    def choose(y, x, allowed):
        p, class_id = max((probabilities[CHANNEL[i], y, x].item(), -i) for i in allowed)
        return -class_id if p > 0.25 else 0

    free = []
    for y in range(height):
        for x in range(width):
            held = []
            for i in range(len(grown)):
                x0, y0, x1, y1 = boxes[i].tolist()
                if x0 <= x + 0.5 < x1 and y0 <= y + 0.5 < y1:
                    held.append((masks[i][y, x].item(), -i))
            best, i = max(held, default=(0.0, 0))
            if best >= options.mask_threshold:
                labels[y, x] = candidates.values[-i]
            else:
                free.append((y, x))
    for y, x in free:
        labels[y, x] = choose(y, x, stuff)
    kept = [i for i in stuff if (labels == i).sum() >= options.stuff_area_limit]
    for y, x in free:
        labels[y, x] = choose(y, x, kept) if kept else 0
    return labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("options", [ANY_SIZE, FusionOptions(0.3, 0.5, 100, 0.4)])
def test_equals_the_papers_rules(seed, options):
    semantic, instances = random_scene(seed, size=(32, 48), count=8)
    expected = literal(semantic, instances, options)
    assert (degeus(semantic, instances, options).labels != expected).mean() <= 2e-3


def test_the_surest_mask_takes_a_pixel_whatever_the_scores():
    semantic = semantic_of([[ROAD] * 4])
    masks = torch.stack([torch.full((28, 28), 0.6), torch.full((28, 28), 0.9)])
    boxes = ((CAR, 0.99, (0, 0, 3, 1)), (PERSON, 0.5, (1, 0, 4, 1)))
    result = degeus(semantic, instances_of(*boxes, mask=masks), ANY_SIZE)
    assert result.labels.tolist() == [[26000, 24000, 24000, 24000]]


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        # IoU 10/12: the box grows to the component.
        ((4, 16), (4, 16)),
        # IoU 10/19: by a quarter of its 10 pixels at most, each side.
        ((5, 24), (5, 17.5)),
        # IoU 10/20 is not more than a half.
        ((5, 25), (5, 15)),
        # A component inside the box takes nothing off it.
        ((6, 14), (5, 15)),
    ],
)
def test_a_box_grows_to_the_component_that_it_stands_for(component, expected):
    row = [CAR if component[0] <= x < component[1] else ROAD for x in range(30)]
    semantic = semantic_of([row] * 2)
    candidates = select(semantic, instances_of((CAR, 0.9, (5, 0, 15, 2))), ANY_SIZE)
    assert grow_to_components(semantic, candidates).boxes.tolist() == [
        [expected[0], 0, expected[1], 2]
    ]


def test_components_of_other_classes_do_not_count():
    semantic = semantic_of([[PERSON] * 12 + [ROAD] * 4])
    candidates = select(semantic, instances_of((CAR, 0.9, (1, 0, 11, 1))), ANY_SIZE)
    assert grow_to_components(semantic, candidates).boxes.tolist() == [[1, 0, 11, 1]]


def test_small_stuff_chooses_again_and_unsure_stuff_is_unlabeled():
    logits = torch.full((19, 1, 5), -20.0)
    logits[CHANNEL[ROAD], 0] = torch.tensor([5.0, 5.0, 5.0, 4.0, 0.0])
    logits[CHANNEL[SKY], 0] = torch.tensor([0.0, 0.0, 0.0, 4.5, 0.0])
    logits[CHANNEL[CAR], 0, 4] = 3.0
    semantic = SemanticPrediction(logits, (1, 5), CITYSCAPES)
    # The fourth pixel is sky alone of its kind; the fifth is car to nine tenths.
    options = FusionOptions(stuff_area_limit=2)
    assert degeus(semantic, instances_of(), ANY_SIZE).labels.tolist() == [[7, 7, 7, 23, 0]]
    assert degeus(semantic, instances_of(), options).labels.tolist() == [[7, 7, 7, 7, 0]]
