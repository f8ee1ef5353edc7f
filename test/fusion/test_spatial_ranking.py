import pytest
import torch
from scenes import CAR, PERSON, ROAD, instances_of, random_scene, semantic_of

from benchmarks.reference import paste_full, stack_reference
from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.merge import select
from panoptic_ros.fusion.spatial_ranking import RankedStack
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.networks.panoptic.spatial_ranking import SpatialRanking
from panoptic_ros.prediction import InstancePrediction

THINGS = [c.id for c in CITYSCAPES.things]
ANY_SIZE = FusionOptions(stuff_area_limit=0)


def prefers(class_id):
    """A module whose score map favours one class everywhere."""
    ranking = SpatialRanking(THINGS)
    with torch.no_grad():
        ranking.rows_first[1].bias[THINGS.index(class_id)] = 10
    return ranking


def literal(ranking, semantic, instances, options):
    """Equation 5 on full frames, then the textbook's merge with ranks for scores."""
    keep = instances.scores >= options.score_threshold
    instances = instances[keep]
    masks = paste_full(instances, semantic.image_size) >= options.mask_threshold
    height, width = semantic.image_size
    x, y = torch.arange(width) + 0.5, torch.arange(height)[:, None] + 0.5
    for i, (x0, y0, x1, y1) in enumerate(instances.boxes.tolist()):
        masks[i] &= (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    occupied = torch.zeros(1, len(THINGS), height, width)
    for mask, class_id in zip(masks, instances.class_ids.tolist(), strict=True):
        occupied[0, THINGS.index(class_id)][mask] = 1
    scores = ranking(occupied)[0].softmax(0)
    ranks = torch.stack(
        [
            scores[THINGS.index(class_id)][mask].mean()
            for mask, class_id in zip(masks, instances.class_ids.tolist(), strict=True)
        ]
    )
    ranked = InstancePrediction(instances.boxes, instances.class_ids, ranks, instances.masks)
    return stack_reference(
        semantic, ranked, FusionOptions(0, options.overlap_threshold, 0, options.mask_threshold)
    )


@pytest.mark.parametrize("seed", range(3))
def test_equals_equation_5(seed):
    torch.manual_seed(seed)
    ranking = SpatialRanking(THINGS)
    for parameter in ranking.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    semantic, instances = random_scene(seed, size=(48, 64), count=8)
    with torch.inference_mode():
        expected = literal(ranking, semantic, instances, ANY_SIZE)
    labels = RankedStack(ranking)(semantic, instances, ANY_SIZE).labels
    # Numbers within a class count by score here and by rank there: compare who is where.
    assert ((labels // 1000 == expected // 1000) | (labels == expected)).mean() >= 0.999


@pytest.mark.parametrize(("front", "row"), [(CAR, [26000] * 4 + [24000] * 2), (PERSON, None)])
def test_the_class_in_front_covers_the_better_score(front, row):
    semantic = semantic_of([[ROAD] * 6])
    instances = instances_of((PERSON, 0.9, (2, 0, 6, 1)), (CAR, 0.6, (0, 0, 4, 1)))
    row = row or [26000] * 2 + [24000] * 4
    assert RankedStack(prefers(front))(semantic, instances, ANY_SIZE).labels.tolist() == [row]


def test_a_class_without_a_channel_is_named():
    semantic = semantic_of([[ROAD] * 4])
    with pytest.raises(ValueError, match=r"no channel for classes \[26\]"):
        RankedStack(SpatialRanking([24]))(
            semantic, instances_of((CAR, 0.9, (0, 0, 2, 1))), ANY_SIZE
        )


def test_no_instances():
    result = RankedStack(SpatialRanking(THINGS))(
        semantic_of([[ROAD, ROAD]]), instances_of(), ANY_SIZE
    )
    assert result.labels.tolist() == [[7, 7]]


def test_candidates_in_another_order_keep_their_values():
    semantic = semantic_of([[ROAD] * 6])
    found = select(
        semantic, instances_of((CAR, 0.9, (0, 0, 2, 1)), (CAR, 0.8, (2, 0, 4, 1))), ANY_SIZE
    )
    turned = found[torch.tensor([1, 0]).numpy()]
    assert turned.values.tolist() == [26001, 26000]
    assert turned.boxes.tolist() == found.boxes.tolist()[::-1]
