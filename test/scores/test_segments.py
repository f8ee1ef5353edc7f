import numpy as np
import pytest

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.segments import label_image_segments


def rows(segments):
    columns = (segments.ids, segments.class_ids, segments.areas, segments.crowd)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def test_things_stuff_groups_and_void():
    # Road, two cars, a group of persons; ego vehicle (1) and caravan 29000 are void.
    truth = np.array([[7, 7, 26000, 26001], [24, 24, 1, 29000]], np.uint16)
    prediction = np.array([[7, 0, 26005, 26005], [24000, 24, 7, 7]], np.uint16)
    pairs, true, predicted = label_image_segments(truth, prediction, CITYSCAPES)
    assert rows(true) == [
        (7, 7, 2, False),
        (24, 24, 2, True),
        (26000, 26, 1, False),
        (26001, 26, 1, False),
    ]
    assert rows(predicted) == [
        (7, 7, 3, False),
        (24, 24, 1, False),
        (24000, 24, 1, False),
        (26005, 26, 2, False),
    ]
    void = pairs.truth == 0
    assert set(pairs.prediction[void].tolist()) == {7}
    assert pairs.pixels[void].sum() == 2


def test_a_predicted_class_outside_the_set_is_an_error():
    with pytest.raises(ValueError, match=r"\[29000\], of no class of the label set 'cityscapes'"):
        label_image_segments(np.array([[7]]), np.array([[29000]]), CITYSCAPES)
