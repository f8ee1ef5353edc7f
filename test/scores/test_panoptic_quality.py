import json

import numpy as np
import pytest
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from coco_example import (
    CATEGORIES,
    Side,
    assert_same,
    official_results,
    segment,
    write_side,
)
from PIL import Image

from panoptic_ros.evaluation.label_files import score_files
from panoptic_ros.labels import CITYSCAPES, LabelClass, LabelSet
from panoptic_ros.scores.panoptic_quality import PanopticQuality
from panoptic_ros.scores.segments import label_image_segments

LABELS = LabelSet(
    "four", tuple(LabelClass(c["id"], c["name"], bool(c["isthing"]), (0, 0, 0)) for c in CATEGORIES)
)


def scored(*images):
    quality = PanopticQuality.of(LABELS)
    for truth, prediction in images:
        quality.add(*label_image_segments(np.array(truth), np.array(prediction), LABELS))
    return quality.results()


def test_a_frame_worked_out_on_paper():
    # Road: 4 of 5 true pixels found, nothing else: IoU 4/5. The car: 2 of 3 found and one
    # road pixel too many: IoU 2/4, no match, so one FN and one FP. The person is missed.
    truth = [[7, 7, 7, 7, 7], [26000, 26000, 26000, 24000, 24000]]
    prediction = [[7, 7, 7, 7, 26000], [26000, 26000, 0, 0, 0]]
    results = scored((truth, prediction))
    counts = {c: [r["tp"], r["fp"], r["fn"]] for c, r in results["per_class"].items()}
    assert counts == {7: [1, 0, 0], 23: [0, 0, 0], 24: [0, 0, 1], 26: [0, 1, 1]}
    assert results["per_class"][7] == pytest.approx(
        {"pq": 0.8, "sq": 0.8, "rq": 1, "iou": 0.8, "tp": 1, "fp": 0, "fn": 0}
    )
    assert results["all"] == pytest.approx({"pq": 0.8 / 3, "sq": 0.8 / 3, "rq": 1 / 3, "n": 3})
    assert results["things"] == {"pq": 0, "sq": 0, "rq": 0, "n": 2}
    assert results["stuff"] == pytest.approx({"pq": 0.8, "sq": 0.8, "rq": 1, "n": 1})


def test_images_add_up():
    # One car found exactly, in the second image one missed: PQ = 1 / (1 + 0.5).
    found, missed = ([[26000]], [[26000]]), ([[26000]], [[0]])
    assert scored(found, missed)["per_class"][26]["pq"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        # Three of four pixels on void: neither right nor wrong.
        ([[0, 0, 0, 7]], [[26000] * 4], [0, 0, 0]),
        # Half on void is not more than half.
        ([[0, 0, 7, 7]], [[26000] * 4], [0, 1, 0]),
        # On a group of its class, void helping.
        ([[0, 26, 26, 7]], [[26000] * 4], [0, 0, 0]),
        # On a group of another class.
        ([[24, 24, 24, 24]], [[26000] * 4], [0, 1, 0]),
        # Void does not count in the union: IoU 2 / 3, not 2 / 5.
        ([[26000, 26000, 7, 0, 0]], [[26000] * 5], [1, 0, 0]),
        # IoU of exactly one half does not match.
        ([[26000, 26000]], [[26000, 7]], [0, 1, 1]),
    ],
)
def test_void_and_groups(truth, prediction, expected):
    car = scored((truth, prediction))["per_class"][26]
    assert [car["tp"], car["fp"], car["fn"]] == expected


def test_of_nothing_is_zero():
    results = scored(([[0, 0]], [[0, 0]]))
    assert results["all"] == {"pq": 0, "sq": 0, "rq": 0, "n": 0}


def against_official(folder, truth, prediction):
    true, found = write_side(folder, "truth", truth), write_side(folder, "prediction", prediction)
    score = score_files(true.json, true.folder, found.json, found.folder)
    assert not score.broken
    assert_same(score.quality.results(), official_results(true, found))
    return score.quality.results()


FULL = np.ones((6, 8), np.uint32)
HALVES = np.repeat([[1, 2]], 4, axis=1) * np.ones((6, 1), np.uint32)

AWKWARD = {
    "empty images": ((FULL * 0, []), (FULL * 0, [])),
    "all void, something predicted": ((FULL * 0, []), (FULL, [segment(1, 26)])),
    "nothing predicted": ((HALVES, [segment(1, 26), segment(2, 7)]), (FULL * 0, [])),
    "class absent from truth": ((FULL, [segment(1, 7)]), (FULL, [segment(1, 24)])),
    "ids above 65535": (
        (HALVES * 8_000_000, [segment(8_000_000, 26), segment(16_000_000, 7)]),
        (HALVES * 70_000, [segment(70_000, 26), segment(140_000, 7)]),
    ),
    "ids not listed are not void": ((HALVES, [segment(1, 26)]), (FULL, [segment(1, 26)])),
    "void listed as a segment": (
        (HALVES - 1, [segment(0, 26), segment(1, 7)]),
        (FULL * 0, [segment(0, 26)]),
    ),
    "true class not among the categories": (
        (HALVES, [segment(1, 99), segment(2, 7)]),
        (HALVES, [segment(1, 26), segment(2, 7)]),
    ),
    "true segment without a pixel": (
        (HALVES, [segment(1, 26), segment(2, 7), segment(3, 26)]),
        (HALVES, [segment(1, 26), segment(2, 7)]),
    ),
    "areas as the truth's file says": (
        (HALVES, [segment(1, 26, area=40), segment(2, 7, area=70)]),
        (HALVES, [segment(1, 26), segment(2, 7)]),
    ),
    "two crowds of a class: the last counts": (
        (HALVES, [segment(1, 26, iscrowd=1), segment(2, 26, iscrowd=1)]),
        (HALVES, [segment(1, 26), segment(2, 26)]),
    ),
    "crowd of another class": (
        (HALVES, [segment(1, 24, iscrowd=1), segment(2, 7)]),
        (HALVES, [segment(1, 26), segment(2, 7)]),
    ),
    "id listed twice": (
        (HALVES, [segment(1, 26), segment(2, 7), segment(1, 24)]),
        (HALVES, [segment(1, 24), segment(2, 7), segment(1, 24)]),
    ),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_files_score_as_in_the_official_script(name, tmp_path):
    truth, prediction = AWKWARD[name]
    against_official(tmp_path, {"a": truth}, {"a": prediction})


def random_image(rng, shape, count, scale):
    """Draw rectangles over each other, of random classes, some of them groups."""
    ids = np.zeros(shape, np.uint32)
    numbers = rng.choice(np.arange(1, 4 * count), count, replace=False) * scale
    for number in numbers:
        y, x = (rng.integers(0, side) for side in shape)
        ids[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = number
    return ids


def random_segments(rng, ids):
    return [
        segment(int(i), int(rng.choice([7, 23, 24, 26])), iscrowd=int(rng.random() < 0.2))
        for i in np.unique(ids)
        if i
    ]


@pytest.mark.parametrize("scale", [1, 4001])
def test_random_files_score_as_in_the_official_script(scale, tmp_path):
    rng = np.random.default_rng(scale)
    truths, predictions = {}, {}
    for image in range(40):
        truth = random_image(rng, (24, 32), 25, scale)
        # Mostly the truth with other numbers, shifted a little, with noise.
        prediction = np.roll(truth, rng.integers(-1, 2), axis=1) * 2
        prediction[rng.random(truth.shape) < 0.05] = 0
        true_segments = random_segments(rng, truth)
        classes = {2 * s["id"]: s["category_id"] for s in true_segments}
        truths[image] = (truth, true_segments)
        predictions[image] = (
            prediction,
            [
                segment(int(i), classes[i] if rng.random() < 0.9 else 24)
                for i in np.unique(prediction)
                if i
            ],
        )
    results = against_official(tmp_path, truths, predictions)
    assert 0.2 < results["all"]["pq"] < 0.9


def test_a_thousand_one_pixel_segments(tmp_path):
    ids = np.arange(1, 1001, dtype=np.uint32).reshape(25, 40)
    truth = (ids, [segment(int(i), 26) for i in ids.ravel()])
    other = ids.copy()
    other[:, :10] = other[:, 10:20]
    prediction = (other, [segment(int(i), 26) for i in np.unique(other)])
    results = against_official(tmp_path, {"a": truth}, {"a": prediction})
    # 250 predictions have a second pixel (IoU 1/2), the ids of 250 pixels are gone.
    assert results["per_class"][26]["tp"] == 500


def test_label_images_score_as_through_the_official_conversion(tmp_path):
    # Every kind of value: groups, stuff, things, classes that are not evaluated, unlabeled.
    rng = np.random.default_rng(3)
    values = [0, 1, 4, 7, 8, 11, 23, 24, 26, 33, 24000, 24001, 26000, 26007, 33002, 29000, 30001]
    truth = rng.choice(values, (20, 30)).repeat(4, 0).repeat(4, 1).astype(np.int32)
    prediction = np.roll(truth, 1, axis=1)
    known = np.isin(np.where(truth >= 1000, truth // 1000, truth), CITYSCAPES.ids)
    prediction[~np.roll(known, 1, axis=1)] = 0

    folder = tmp_path / "gtFine" / "val" / "town"
    folder.mkdir(parents=True)
    path = folder / "town_000000_000000_gtFine_instanceIds.png"
    Image.fromarray(truth.astype(np.uint16)).save(path)
    (tmp_path / "truth").mkdir()
    convert2panoptic(tmp_path / "gtFine", tmp_path / "truth", False, ["val"])
    true = Side(
        tmp_path / "truth" / "cityscapes_panoptic_val.json",
        tmp_path / "truth" / "cityscapes_panoptic_val",
    )
    image_id = json.loads(true.json.read_text())["annotations"][0]["image_id"]
    found = write_side(
        tmp_path,
        "prediction",
        {
            image_id: (
                prediction,
                [segment(int(v), int(v // 1000 or v)) for v in np.unique(prediction) if v],
            )
        },
    )
    quality = PanopticQuality.of(CITYSCAPES)
    quality.add(*label_image_segments(truth, prediction, CITYSCAPES))
    assert_same(quality.results(), official_results(true, found))
