import numpy as np
import pytest
import yaml

from panoptic_ros.label_map import LabelMap
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import PanopticPrediction, Segment

CLASSES = [
    {"id": 1, "name": "ground", "of": ["road", "sidewalk"]},
    {"id": 200, "name": "vehicle", "of": ["car", "truck"], "color": [1, 2, 3]},
    {"id": 3, "name": "walker", "of": ["person"], "is_thing": False},
]


@pytest.fixture
def read(tmp_path):
    def read(classes=CLASSES, **keys):
        file = tmp_path / "yard.yaml"
        file.write_text(yaml.safe_dump({"classes": classes, **keys}))
        return LabelMap.read(file, CITYSCAPES)

    return read


def segment(value, class_id, box, area):
    return Segment(value, class_id, value >= 1000, 0.5, area, box)


# A road and a sidewalk, two cars and a truck, two persons, sky.
PREDICTION = PanopticPrediction(
    np.array([[7, 8, 26000, 26001, 27000], [24000, 24001, 23, 0, 7]], np.uint16),
    [
        segment(26000, 26, (2, 0, 3, 1), 1),
        segment(27000, 27, (4, 0, 5, 1), 1),
        segment(26001, 26, (3, 0, 4, 1), 1),
        segment(24000, 24, (0, 1, 1, 2), 1),
        segment(24001, 24, (1, 1, 2, 2), 1),
        segment(7, 7, (0, 0, 5, 2), 2),
        segment(8, 8, (1, 0, 2, 1), 1),
        segment(23, 23, (2, 1, 3, 2), 1),
    ],
)


def test_the_outputs_classes(read):
    labels = read().labels
    assert labels.name == "yard"
    found = {c.id: (c.name, c.is_thing, tuple(c.color)) for c in labels.classes}
    assert found == {
        1: ("ground", False, CITYSCAPES.by_name["road"].color),
        200: ("vehicle", True, (1, 2, 3)),
        3: ("walker", False, CITYSCAPES.by_name["person"].color),
    }
    assert read(name="mine").labels.name == "mine"


def test_instances_are_numbered_together_and_what_is_stuff_now_is_one_segment(read):
    found, values = read().prediction(PREDICTION)
    assert found.labels.dtype == np.int32
    assert found.labels.tolist() == [[1, 1, 200000, 200002, 200001], [3, 3, 0, 0, 1]]
    assert values[27000] == 200001
    assert values[23] == 0
    assert [(s.id, s.class_id, s.is_thing, s.area, s.box) for s in found.segments] == [
        (200000, 200, True, 1, (2, 0, 3, 1)),
        (200001, 200, True, 1, (4, 0, 5, 1)),
        (200002, 200, True, 1, (3, 0, 4, 1)),
        (3, 3, False, 2, (0, 1, 2, 2)),
        (1, 1, False, 3, (0, 0, 5, 2)),
    ]
    assert found.segments[0].score == 0.5


@pytest.mark.parametrize(
    ("other", "dtype", "pixels"),
    [
        ({"id": 26, "name": "car", "of": ["car"], "is_thing": False}, np.uint16, [7, 26, 26]),
        # ~/labels has one encoding, whatever a picture shows.
        ({"id": 200, "name": "sky", "of": ["sky"]}, np.int32, [7, 0, 0]),
    ],
)
def test_classes_that_keep_their_ids_follow_the_map_too(read, other, dtype, pixels):
    labels = read([{"id": 7, "name": "road", "of": ["road"]}, other])
    road, cars = segment(7, 7, (0, 0, 1, 1), 1), PREDICTION.segments[0]
    image = np.array([[7, 26000, 26000]], np.uint16)
    for segments in ([road], [road, cars]):
        found, _ = labels.prediction(PanopticPrediction(image[:, : len(segments)], segments))
        assert found.labels.dtype == dtype
        assert found.labels.tolist() == [pixels[: len(segments)]]


def test_instances_beyond_a_thousand_are_unlabeled(read):
    cars = [segment(26000 + n, 26, (n, 0, n + 1, 1), 1) for n in range(700)]
    trucks = [segment(27000 + n, 27, (700 + n, 0, 701 + n, 1), 1) for n in range(700)]
    image = np.array([[s.id for s in cars + trucks]], np.uint16)
    found, _ = read().prediction(PanopticPrediction(image, cars + trucks))
    assert found.labels[0, [0, 999, 1000, 1399]].tolist() == [200000, 200999, 0, 0]
    assert len(found.segments) == 1000


def test_classes_and_their_probabilities(read):
    label_map = read()
    assert label_map.classes(np.array([[0, 7, 8, 26, 24, 23]], np.uint8)).tolist() == [
        [0, 1, 1, 200, 3, 0]
    ]
    layers = np.zeros((19, 1, 1), np.float32)
    layers[[0, 1, 10, 13]] = np.float32([0.5, 0.125, 0.25, 0.125])[:, None, None]
    assert label_map.probabilities(layers, CITYSCAPES).ravel().tolist() == [0.625, 0.125, 0.0]


def test_a_choice_of_the_models_classes(read):
    ids = np.array([[7, 8, 24, 26]], np.uint8)
    assert read().only((8, 24)).classes(ids).tolist() == [[0, 1, 3, 0]]
    assert read().only(()).classes(ids).tolist() == [[1, 1, 3, 200]]


def test_the_identity_changes_nothing():
    label_map = LabelMap.identity(CITYSCAPES)
    found, values = label_map.prediction(PREDICTION)
    assert found is PREDICTION
    assert values[26001] == 26001
    ids = CITYSCAPES.ids.astype(np.uint8)[None]
    np.testing.assert_array_equal(label_map.classes(ids), ids)
    layers = np.zeros((19, 1, 1), np.float32)
    assert label_map.probabilities(layers, CITYSCAPES) is layers


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": 0}, "'ground' has id 0; it must be in 1..255"),
        ({"id": 256}, "has id 256"),
        ({"id": 3}, "id 3 is there twice"),
        ({"name": "walker"}, "name 'walker' is there twice"),
        ({"of": ["road", "car"], "is_thing": True}, "cannot be a thing: \\['road'\\]"),
        ({"of": ["road", "car"]}, "'car' is part of two classes"),
        ({"of": ["lawn"]}, "is of 'lawn', which the model does not know; it knows \\['road'"),
        ({"of": []}, "is of no class"),
        ({"of": "road"}, "of is 'road'; it must be a list"),
        ({"color": [0, 0, 256]}, "each must be in 0..255"),
        ({"colour": [0, 0, 0]}, "colour"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(read, change, words):
    with pytest.raises(ValueError, match=words) as error:
        read([CLASSES[0] | change, *CLASSES[1:]])
    assert "yard.yaml" in str(error.value)


def test_a_map_without_classes_is_wrong(read):
    with pytest.raises(ValueError, match="classes is empty"):
        read([])
    with pytest.raises(FileNotFoundError, match="no file"):
        LabelMap.read("/nowhere/yard.yaml", CITYSCAPES)
