import pytest
import torch
from scenes import CAR, PERSON, ROAD, instances_of, random_scene, semantic_of

from benchmarks.reference import stack_reference
from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.panoptic_fpn import panoptic_fpn
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import SemanticPrediction

ANY_SIZE = FusionOptions(stuff_area_limit=0)
IS_THING = torch.tensor([c.is_thing for c in CITYSCAPES.classes])


def test_things_are_one_class_against_stuff():
    """Road 0.4, person and car 0.3 each: no thing beats road alone, together they do."""
    probabilities = torch.full((19, 1, 1), 1e-6)
    for class_id, p in ((ROAD, 0.4), (PERSON, 0.3), (CAR, 0.3)):
        probabilities[[c.id for c in CITYSCAPES.classes].index(class_id)] = p
    semantic = SemanticPrediction(probabilities.log(), (1, 1), CITYSCAPES)
    assert panoptic_fpn(semantic, instances_of(), ANY_SIZE).labels.tolist() == [[0]]


def test_masks_are_laid_as_in_stack():
    semantic = semantic_of([[ROAD] * 6])
    instances = instances_of((CAR, 0.9, (0, 0, 4, 1)), (CAR, 0.8, (2, 0, 6, 1)))
    result = panoptic_fpn(semantic, instances, ANY_SIZE)
    assert result.labels.tolist() == [[26000] * 4 + [26001] * 2]


@pytest.mark.parametrize("seed", range(4))
def test_equals_a_network_with_a_class_other(seed):
    """The textbook on explicit probabilities of stuff and other, at the logits' own scale."""
    semantic, instances = random_scene(seed)
    probabilities = semantic.logits.softmax(0)
    explicit = torch.full_like(probabilities, -100.0)
    explicit[~IS_THING] = probabilities[~IS_THING].log()
    explicit[IS_THING.nonzero()[0]] = probabilities[IS_THING].sum(0, keepdim=True).log()
    # Softmax shifts all logits of a pixel; bilinear upsampling keeps that shift.
    shift = semantic.logits.logsumexp(0)
    expected = stack_reference(
        SemanticPrediction(explicit + shift, semantic.image_size, CITYSCAPES), instances, ANY_SIZE
    )
    assert (panoptic_fpn(semantic, instances, ANY_SIZE).labels != expected).mean() <= 1e-3
