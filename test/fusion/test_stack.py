from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import CAR, PERSON, ROAD, SKY, instances_of, random_scene, semantic_of

from benchmarks.reference import stack_reference
from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.stack import stack
from panoptic_ros.labels import LabelClass, LabelSet
from panoptic_ros.prediction import SemanticPrediction

ANY_SIZE = FusionOptions(stuff_area_limit=0)


def test_a_mask_takes_the_pixels_whose_centres_its_box_holds():
    semantic = semantic_of([[ROAD] * 6] * 4)
    result = stack(semantic, instances_of((CAR, 0.9, (1, 1, 4, 3))), ANY_SIZE)
    assert result.labels.dtype == np.uint16
    assert result.labels.tolist() == [
        [7, 7, 7, 7, 7, 7],
        [7, 26000, 26000, 26000, 7, 7],
        [7, 26000, 26000, 26000, 7, 7],
        [7, 7, 7, 7, 7, 7],
    ]
    car, road = result.segments
    assert (car.id, car.class_id, car.is_thing, car.area) == (26000, 26, True, 6)
    assert car.box == (1, 1, 4, 3)
    assert car.score == pytest.approx(0.9)
    assert (road.id, road.is_thing, road.area, road.box) == (7, False, 18, (0, 0, 6, 4))


def test_better_instances_cover_worse_ones_and_numbers_count_per_class():
    semantic = semantic_of([[ROAD] * 6])
    instances = instances_of(
        (CAR, 0.6, (0, 0, 4, 1)), (CAR, 0.9, (3, 0, 6, 1)), (PERSON, 0.7, (0, 0, 1, 1))
    )
    result = stack(semantic, instances, ANY_SIZE)
    assert result.labels.tolist() == [[24000, 26001, 26001, 26000, 26000, 26000]]
    assert [s.id for s in result.segments] == [26000, 24000, 26001]


@pytest.mark.parametrize(("threshold", "second"), [(0.5, 26001), (0.49, 7)])
def test_an_instance_mostly_covered_is_dropped_and_frees_its_pixels(threshold, second):
    semantic = semantic_of([[ROAD] * 6])
    instances = instances_of((CAR, 0.9, (0, 0, 4, 1)), (CAR, 0.8, (2, 0, 6, 1)))
    options = FusionOptions(overlap_threshold=threshold, stuff_area_limit=0)
    result = stack(semantic, instances, options)
    assert result.labels.tolist() == [[26000] * 4 + [second] * 2]


def test_thing_pixels_without_an_instance_are_unlabeled():
    result = stack(semantic_of([[ROAD, CAR, SKY]]), instances_of(), ANY_SIZE)
    assert result.labels.tolist() == [[7, 0, 23]]
    assert [s.id for s in result.segments] == [7, 23]


@pytest.mark.parametrize(("limit", "sky"), [(2, 23), (3, 0)])
def test_small_stuff_is_unlabeled(limit, sky):
    semantic = semantic_of([[ROAD, ROAD, ROAD, SKY, SKY]])
    result = stack(semantic, instances_of(), FusionOptions(stuff_area_limit=limit))
    assert result.labels.tolist() == [[7, 7, 7, sky, sky]]


def test_score_threshold_and_class_limits_select():
    semantic = semantic_of([[ROAD] * 4])
    boxes = [(i, 0, i + 1, 1) for i in range(4)]
    instances = instances_of(
        (CAR, 0.5, boxes[0]), (CAR, 0.9, boxes[1]), (PERSON, 0.49, boxes[2]), (CAR, 0.8, boxes[3])
    )
    options = FusionOptions(class_limits={CAR: 2}, stuff_area_limit=0)
    assert stack(semantic, instances, options).labels.tolist() == [[7, 26000, 7, 26001]]
    options = FusionOptions(score_threshold=0.4, stuff_area_limit=0)
    assert stack(semantic, instances, options).labels.tolist() == [[26002, 26000, 24000, 26001]]


@pytest.mark.parametrize(
    "row",
    [
        (CAR, 0.9, (9, 0, 12, 1)),
        (CAR, 0.9, (-5, -5, -1, -1)),
        (CAR, 0.9, (2, 0, 1, 1)),
        (CAR, 0.9, (1.6, 0, 2.4, 1)),
        (CAR, float("nan"), (0, 0, 4, 1)),
        (CAR, 0.9, (0, 0, float("inf"), 1)),
        (ROAD, 0.9, (0, 0, 4, 1)),
        (999, 0.9, (0, 0, 4, 1)),
    ],
    ids=[
        "outside",
        "left",
        "inverted",
        "between-centres",
        "nan",
        "infinite",
        "stuff-class",
        "unknown-class",
    ],
)
def test_instances_that_have_no_place_are_left_out(row):
    semantic = semantic_of([[ROAD] * 4])
    assert stack(semantic, instances_of(row), ANY_SIZE).labels.tolist() == [[7] * 4]


@pytest.mark.parametrize(("veto", "second"), [(1.0, 26001), (0.75, 26001), (0.7, 7)])
def test_an_instance_on_stuff_is_vetoed_and_frees_its_pixels(veto, second):
    """The second car's mask holds one pixel of car and three of road, all but certain."""
    semantic = semantic_of([[CAR] * 4 + [ROAD] * 3 + [CAR]])
    semantic = replace(semantic, logits=4 * semantic.logits)
    instances = instances_of((CAR, 0.9, (0, 0, 4, 1)), (CAR, 0.8, (4, 0, 8, 1)))
    options = FusionOptions(stuff_area_limit=0, semantic_veto=veto)
    result = stack(semantic, instances, options)
    assert result.labels[0, :7].tolist() == [26000] * 4 + [second] * 3
    # What the vetoed one held goes to a worse instance.
    third = instances_of((CAR, 0.8, (4, 0, 8, 1)), (PERSON, 0.7, (6, 0, 8, 1)))
    options = FusionOptions(stuff_area_limit=0, semantic_veto=0.7)
    assert stack(semantic, third, options).labels[0, 6:].tolist() == [24000, 24000]


def test_no_pixels_of_stuff_and_no_instances():
    result = stack(semantic_of([[CAR, CAR]]), instances_of(), ANY_SIZE)
    assert result.labels.tolist() == [[0, 0]]
    assert result.segments == []


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "options",
    [
        FusionOptions(stuff_area_limit=0),
        FusionOptions(0.3, 0.2, 300, 0.4, {24: 1, 26: 0}),
        FusionOptions(0.0, 1.0, 4096, 0.7),
    ],
)
def test_equals_the_textbook(seed, options):
    semantic, instances = random_scene(seed)
    expected = stack_reference(semantic, instances, options)
    result = stack(semantic, instances, options)
    # Masks are sampled by another formula: a value on the threshold may fall either side.
    assert (result.labels != expected).mean() <= 1e-4
    for segment in result.segments:
        mask = result.labels == segment.id
        ys, xs = np.nonzero(mask)
        assert segment.area == mask.sum()
        assert segment.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert {s.id for s in result.segments} == set(np.unique(result.labels)) - {0}


@pytest.mark.gpu
def test_the_gpu_gives_the_same():
    semantic, instances = random_scene(0)
    expected = stack(semantic, instances, ANY_SIZE)
    on_gpu = type(semantic)(semantic.logits.cuda(), semantic.image_size, semantic.labels)
    fields = (instances.boxes, instances.class_ids, instances.scores, instances.masks)
    result = stack(on_gpu, type(instances)(*(t.cuda() for t in fields)), ANY_SIZE)
    assert (result.labels != expected.labels).mean() <= 1e-4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"score_threshold": 1.5}, "score_threshold is 1.5"),
        ({"overlap_threshold": -0.1}, "overlap_threshold is -0.1"),
        ({"mask_threshold": 0.0}, "mask_threshold is 0.0"),
        ({"stuff_area_limit": -1}, "stuff_area_limit is -1"),
        ({"class_limits": {26: 1001}}, "1001 for class 26"),
        ({"semantic_veto": 1.1}, "semantic_veto is 1.1"),
        ({"score_threshold": float("nan")}, "score_threshold is nan"),
    ],
)
def test_options_out_of_range_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        FusionOptions(**arguments)


def test_int32_label_image_for_wide_label_sets():

    wide = LabelSet(
        "wide", (LabelClass(1, "a", False, (0, 0, 0)), LabelClass(200, "b", True, (1, 1, 1)))
    )
    semantic = SemanticPrediction(torch.tensor([1.0, 0.0]).reshape(2, 1, 1), (1, 3), wide)
    result = stack(semantic, instances_of((200, 0.9, (0, 0, 1, 1))), ANY_SIZE)
    assert result.labels.dtype == np.int32
    assert result.labels.tolist() == [[200000, 1, 1]]
