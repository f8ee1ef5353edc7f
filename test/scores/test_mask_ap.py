import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.mask_ap import MaskFrame, average_precision, coco_matches, true_masks
from panoptic_ros.scores.mask_codes import as_coco, codes_of_labels

SIZE = (40, 60)
CAR, PERSON = 26, 24
LEFT, MIDDLE, RIGHT = (slice(0, 20), slice(20, 40), slice(40, 60))

# pycocotools keeps its divisions from 0 / 0 by adding a rounding error.
PERFECT = {"ap": pytest.approx(1.0), "ap50": pytest.approx(1.0), "instances": 1}


def painted(*patches):
    """Return road with patches (value, rows, columns) on it."""
    labels = np.full(SIZE, 7, np.int32)
    for value, rows, columns in patches:
        labels[rows, columns] = value
    return labels


def detected(class_id, score, rows, columns):
    mask = painted((1, rows, columns))
    return [class_id, score, codes_of_labels(mask, [1])[1]]


def scores(truth, *detections):
    frame = MaskFrame(true_masks(truth, CITYSCAPES), detections)
    results = average_precision([coco_matches(frame, CITYSCAPES)], CITYSCAPES)
    return {k: results["classes"][k] for k in (CAR, PERSON)}, results


def test_a_perfect_detection_has_ap_1_and_classes_without_instances_none():
    truth = painted((26000, slice(0, 20), LEFT))
    by_class, results = scores(truth, detected(CAR, 0.9, slice(0, 20), LEFT))
    assert by_class[CAR] == PERFECT
    assert by_class[PERSON] == {"ap": None, "ap50": None, "instances": 0}
    assert (results["ap"], results["ap50"]) == (PERFECT["ap"], PERFECT["ap50"])


def test_the_iou_decides_up_to_which_threshold_a_detection_counts():
    # 16 of 20 rows: IoU 0.8, which passes 0.5, 0.55 ... 0.8, 7 of the 10 thresholds.
    truth = painted((26000, slice(0, 20), LEFT))
    by_class, _ = scores(truth, detected(CAR, 0.9, slice(0, 16), LEFT))
    assert by_class[CAR]["ap"] == pytest.approx(0.7)
    assert by_class[CAR]["ap50"] == PERFECT["ap50"]


def test_a_false_detection_before_the_right_one_halves_the_precision():
    truth = painted((26000, slice(0, 20), LEFT))
    wrong = detected(CAR, 0.9, slice(20, 40), RIGHT)
    by_class, _ = scores(truth, wrong, detected(CAR, 0.8, slice(0, 20), LEFT))
    assert by_class[CAR]["ap"] == pytest.approx(0.5)


def test_an_instance_that_is_missed_counts():
    # Recall reaches 1/2 with precision 1: 51 of pycocotools' 101 points.
    truth = painted((26000, slice(0, 20), LEFT), (26001, slice(0, 20), RIGHT))
    by_class, _ = scores(truth, detected(CAR, 0.9, slice(0, 20), LEFT))
    assert by_class[CAR] == {
        "ap": pytest.approx(51 / 101),
        "ap50": pytest.approx(51 / 101),
        "instances": 2,
    }


@pytest.mark.parametrize(
    "region",
    [
        (0, slice(20, 40), RIGHT),  # void
        (1, slice(20, 40), RIGHT),  # a class that is not scored
        (26, slice(20, 40), RIGHT),  # a group of the class
        (26001, slice(20, 24), slice(40, 60)),  # 80 pixels: too small to be scored
    ],
)
def test_what_lies_on_void_groups_and_small_instances_is_ignored(region):
    truth = painted((26000, slice(0, 20), LEFT), region)
    inside = detected(CAR, 0.95, *region[1:])
    by_class, _ = scores(truth, inside, detected(CAR, 0.9, slice(0, 20), LEFT))
    assert by_class[CAR] == PERFECT


def test_a_group_of_another_class_excuses_nothing():
    truth = painted((26000, slice(0, 20), LEFT), (24, slice(20, 40), RIGHT))
    inside = detected(CAR, 0.95, slice(20, 40), RIGHT)
    by_class, _ = scores(truth, inside, detected(CAR, 0.9, slice(0, 20), LEFT))
    assert by_class[CAR]["ap"] == pytest.approx(0.5)


def test_a_class_is_not_found_by_another():
    truth = painted((26000, slice(0, 20), LEFT))
    by_class, results = scores(truth, detected(PERSON, 0.9, slice(0, 20), LEFT))
    assert by_class[CAR]["ap"] == 0.0
    assert by_class[PERSON]["ap"] is None
    assert results["ap"] == 0.0


def test_no_frames_give_no_scores():
    results = average_precision([], CITYSCAPES)
    assert (results["ap"], results["ap50"]) == (None, None)
    assert all(c["instances"] == 0 for c in results["classes"].values())


def official(frames):
    """Return pycocotools' own summary of frames without void and groups."""
    images, truth, found = [], [], []
    for i, frame in enumerate(frames):
        size = frame.truth.size
        images.append({"id": i, "height": size[0], "width": size[1]})
        for entries, kept in ((frame.truth.instances, truth), (frame.detections, found)):
            for class_id, *score, code in entries:
                mask = as_coco(code, size)
                entry = {"id": len(kept) + 1, "image_id": i, "category_id": class_id}
                entry |= {"segmentation": mask, "area": int(coco_mask.area(mask)), "iscrowd": 0}
                kept.append(entry | ({"score": score[0]} if score else {}))
    sides = []
    for annotations in (truth, found):
        side = COCO()
        categories = [{"id": c.id} for c in CITYSCAPES.things]
        side.dataset = {"images": images, "categories": categories, "annotations": annotations}
        side.createIndex()
        sides.append(side)
    evaluation = COCOeval(*sides, "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("seed", range(3))
def test_every_figure_equals_pycocotools(seed):
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(3):
        truth = np.full((200, 300), 7, np.int32)
        sides = [14, 20, 40, 60, 110]
        for n, side in enumerate(sides):
            truth[:side, sum(sides[:n]) : sum(sides[: n + 1])] = rng.choice([26, 24]) * 1000 + n
        frame = MaskFrame(true_masks(truth, CITYSCAPES), [])
        for value in np.unique(truth[truth >= 1000]).tolist():
            shift = tuple(rng.integers(0, 5, 2))
            code = codes_of_labels(np.roll(truth == value, shift, (0, 1)).astype(int), [1])[1]
            frame.detections.append([value // 1000, float(rng.random()), code])
        frames.append(frame)
    expected = official(frames)
    results = average_precision([coco_matches(f, CITYSCAPES) for f in frames], CITYSCAPES)
    for at, name in enumerate(("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")):
        assert results[name] == pytest.approx(expected[at], abs=1e-9)
    assert results["ar"] == pytest.approx(expected[8], abs=1e-9)
    assert 0 < results["ap"] < 1
