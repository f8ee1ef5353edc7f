import numpy as np

from panoptic_ros.evaluation.track_truth import as_prediction
from panoptic_ros.labels import CITYSCAPES

TRUTH = np.array(
    [
        [7, 7, 26005, 26005],
        [7, 26009, 26005, 24],
        [4, 26009, 24007, 24],
    ],
    np.uint16,
)


def test_segments_are_those_of_the_truth_with_new_numbers():
    prediction = as_prediction(TRUTH, CITYSCAPES, np.random.default_rng(0))
    assert prediction.labels.dtype == np.uint16
    assert set(np.unique(prediction.labels)) == {0, 7, 24, 24000, 26000, 26001}
    by_box = {s.box: s for s in prediction.segments}
    assert set(by_box) == {(0, 0, 2, 2), (2, 0, 4, 2), (1, 1, 2, 3), (3, 1, 4, 3), (2, 2, 3, 3)}
    car = by_box[2, 0, 4, 2]
    assert (car.class_id, car.is_thing, car.score, car.area) == (26, True, 1.0, 3)
    assert (prediction.labels == car.id).tolist() == (TRUTH == 26005).tolist()
    assert not by_box[0, 0, 2, 2].is_thing


def test_numbers_tell_no_identities():
    rng = np.random.default_rng(0)
    numbers = {int(as_prediction(TRUTH, CITYSCAPES, rng).labels[0, 3]) for _ in range(20)}
    assert numbers == {26000, 26001}


def test_the_truth_is_left_alone():
    truth = TRUTH.copy()
    as_prediction(truth, CITYSCAPES, np.random.default_rng(0))
    np.testing.assert_array_equal(truth, TRUTH)
