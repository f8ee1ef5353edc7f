import numpy as np
import pytest

from panoptic_ros.synthetic.groups import group_small_instances


@pytest.mark.parametrize(("visible", "value"), [(39, 26), (40, 26003)])
def test_an_instance_needs_forty_pixels_of_512x1024(visible: int, value: int) -> None:
    labels = np.full((512, 1024), 7, np.uint16)
    labels[100, :visible] = 26003
    grouped = group_small_instances(labels)
    assert grouped.dtype == labels.dtype
    assert (grouped[100, :visible] == value).all()
    assert (grouped == 7).sum() == 512 * 1024 - visible


def test_stuff_stays_however_small_and_instances_count_in_all_their_parts() -> None:
    labels = np.full((512, 1024), 23, np.uint16)
    labels[0, 0] = 17
    labels[10, :20] = labels[300, 500:520] = 24001
    np.testing.assert_array_equal(group_small_instances(labels), labels)
