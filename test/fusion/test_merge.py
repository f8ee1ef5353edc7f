import numpy as np
import pytest
from scenes import CAR, PERSON, ROAD, SKY, instances_of, semantic_of

from panoptic_ros.fusion import FusionOptions, make_strategy, possible

ALL = FusionOptions(score_threshold=0)


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
