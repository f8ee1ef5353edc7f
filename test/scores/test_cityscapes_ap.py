from types import SimpleNamespace

import cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling as official  # noqa: N813
import numpy as np
import pytest
from cityscapesscripts.evaluation.instances2dict import instances2dict
from PIL import Image

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.cityscapes_ap import cityscapes_average_precision, cityscapes_matches
from panoptic_ros.scores.mask_ap import MaskFrame, average_precision, coco_matches, true_masks
from panoptic_ros.scores.mask_codes import codes_of_labels

CAR, PERSON = 26, 24


def random_frame(rng, size=(90, 140)):
    """Return truth with groups, small instances and void, and overlapping detections."""
    truth = np.full(size, 7, np.int32)
    truth[:20], truth[:8, :30] = 23, 0
    values = [CAR * 1000, CAR * 1000 + 1, CAR, PERSON * 1000, PERSON, PERSON * 1000 + 1]
    for value in values:
        height, width = rng.integers(4, 40, 2)
        y, x = rng.integers(0, size[0] - height), rng.integers(0, size[1] - width)
        truth[y : y + height, x : x + width] = value
    found = []
    for value in np.unique(truth[truth >= CAR]).tolist() * 2:
        rows, columns = np.nonzero(truth == value)
        mask = np.zeros(size, bool)
        dy, dx = rng.integers(-5, 6, 2)
        y0, x0 = max(rows.min() + dy, 0), max(columns.min() + dx, 0)
        mask[y0 : rows.max() + 1 + dy // 2, x0 : columns.max() + 1 + dx // 2] = True
        if mask.any():
            class_id = value // 1000 if value >= 1000 else value
            found.append((class_id if rng.random() < 0.9 else PERSON, rng.random(), mask))
    found.append((CAR, 0.5, np.zeros(size, bool)))
    return truth, found


def official_ap(folder, frames):
    """Run cityscapesscripts on files; return its averages."""
    matches = {}
    arguments = SimpleNamespace(**vars(official.args))
    official.setInstanceLabels(arguments)
    for i, (truth, found) in enumerate(frames):
        path = folder / f"city_{i:06d}_000000_gtFine_instanceIds.png"
        Image.fromarray(truth.astype(np.uint16)).save(path)
        instances = instances2dict([str(path)], verbose=False)[str(path.resolve())]
        predicted = {}
        for n, (class_id, score, mask) in enumerate(found):
            file = folder / f"{i}_{n}.png"
            Image.fromarray(mask.astype(np.uint8) * 255).save(file)
            predicted[str(file)] = {"labelID": class_id, "conf": score}
        true, detections = official.assignGt2Preds(
            instances, Image.open(path), predicted, arguments
        )
        matches[str(i)] = {"groundTruth": true, "prediction": detections}
    return official.computeAverages(official.evaluateMatches(matches, arguments), arguments)


def own_ap(frames):
    matches = [cityscapes_matches(frame, CITYSCAPES) for frame in frames]
    return cityscapes_average_precision(matches, CITYSCAPES)


def as_frame(truth, found):
    detections = [
        [class_id, score, codes_of_labels(mask.astype(np.uint8), [1]).get(1)]
        for class_id, score, mask in found
        if mask.any()
    ]
    return MaskFrame(true_masks(truth, CITYSCAPES), detections)


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_official_script(tmp_path, seed, monkeypatch):
    # The official script asks NumPy for a name that newer ones have given up.
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    rng = np.random.default_rng(seed)
    frames = [random_frame(rng) for _ in range(3)]
    expected = official_ap(tmp_path, frames)
    result = own_ap([as_frame(*f) for f in frames])
    assert result["ap"] == pytest.approx(expected["allAp"], abs=1e-9)
    assert result["ap50"] == pytest.approx(expected["allAp50%"], abs=1e-9)
    for label in CITYSCAPES.things:
        own, theirs = result["classes"][label.id], expected["classes"][label.name]
        for key, name in (("ap", "ap"), ("ap50", "ap50%")):
            if own[key] is None:
                assert np.isnan(theirs[name])
            else:
                assert own[key] == pytest.approx(theirs[name], abs=1e-9)


def test_it_is_not_cocos_metric():
    """One of two instances found: COCO's curve has 101 points, Cityscapes' its own."""
    truth = np.full((40, 60), 7, np.int32)
    truth[:20, :20], truth[:20, 40:] = 26000, 26001
    mask = truth == 26000
    frame = as_frame(truth, [(CAR, 0.9, mask)])
    assert average_precision([coco_matches(frame, CITYSCAPES)], CITYSCAPES)[
        "ap50"
    ] == pytest.approx(51 / 101)
    # Recall goes from 1/2 to 0: a quarter is the point's own, a quarter the artificial one's.
    assert own_ap([frame])["ap50"] == pytest.approx(0.5)


def test_nothing_to_find_and_nothing_found():
    empty = np.full((40, 60), 7, np.int32)
    assert own_ap([as_frame(empty, [])])["ap"] is None
    truth = empty.copy()
    truth[:20, :20] = 26000
    result = own_ap([as_frame(truth, [])])
    assert (result["ap"], result["classes"][CAR]["ap"]) == (0.0, 0.0)
    assert result["classes"][PERSON]["ap"] is None
