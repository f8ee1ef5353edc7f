import numpy as np
import pytest

from panoptic_ros.labels import (
    CITYSCAPES,
    COCO_TO_CITYSCAPES,
    LabelClass,
    LabelSet,
    class_ids,
    encode,
    label_set,
    shifted,
)


def test_cityscapes_has_19_classes_in_train_id_order():
    assert CITYSCAPES.ids.tolist() == [
        *(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23),
        *(24, 25, 26, 27, 28, 31, 32, 33),
    ]
    assert [c.name for c in CITYSCAPES.things] == [
        *("person", "rider", "car", "truck"),
        *("bus", "train", "motorcycle", "bicycle"),
    ]
    assert len(CITYSCAPES.stuff) == 11
    assert CITYSCAPES.is_thing.sum() == 8


def test_colors_are_indexed_by_label_id():
    assert CITYSCAPES.colors[26].tolist() == [0, 0, 142]
    assert CITYSCAPES.colors[0].tolist() == [0, 0, 0]


def test_unknown_ids_and_names_say_what_is_known():
    with pytest.raises(KeyError, match="no class id 9"):
        CITYSCAPES[9]
    with pytest.raises(ValueError, match=r"'kitti'.*cityscapes"):
        label_set("kitti")


@pytest.mark.parametrize(("number", "value"), [(0, 26000), (1, 26001), (999, 26999)])
def test_encode(number, value):
    assert encode(26, number) == value


@pytest.mark.parametrize("number", [-1, 1000])
def test_encode_refuses_numbers_that_would_spill_into_the_class(number):
    with pytest.raises(ValueError, match=str(number)):
        encode(26, number)


def test_class_ids_of_stuff_groups_and_things():
    labels = np.array([[0, 7, 26, 26000], [26012, 33999, 999, 1000]], np.uint16)
    ids = class_ids(labels)
    assert ids.dtype == np.uint16
    assert ids.tolist() == [[0, 7, 26, 26], [26, 33, 999, 1]]


def test_class_and_instance_share_32_bits():
    values = np.array([[0, 7, 23], [24000, 24999, 33005]], np.uint16)
    found = shifted(values)
    assert found.dtype == np.int32
    assert (found >> 16).tolist() == [[0, 7, 23], [24, 24, 33]]
    assert (found & 0xFFFF).tolist() == [[0, 0, 0], [1, 1000, 6]]
    assert shifted(np.zeros((0, 3), np.int32)).shape == (0, 3)


@pytest.mark.parametrize(("largest", "dtype"), [(65, np.uint16), (66, np.int32)])
def test_pixel_type_follows_the_largest_class_id(largest, dtype):
    labels = LabelSet("x", (LabelClass(largest, "thing", True, (1, 2, 3)),))
    assert labels.dtype == dtype


def test_coco_maps_to_thing_classes_only():
    assert {CITYSCAPES[i].name for i in COCO_TO_CITYSCAPES.values()} == {
        *("person", "car", "truck", "bus", "train", "motorcycle", "bicycle")
    }
