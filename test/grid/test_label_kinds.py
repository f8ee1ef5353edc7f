import numpy as np
import pytest

from panoptic_ros.grid.grid_options import ProjectionOptions
from panoptic_ros.grid.label_kinds import NEITHER, OBSTACLE, LabelKinds
from panoptic_ros.labels import CITYSCAPES, LabelClass, LabelSet


def kinds_of(values, **options):
    kinds = LabelKinds(CITYSCAPES, ProjectionOptions(**options), 1.5)
    values = np.array(values)
    return kinds, *(t.take(values, mode="clip").tolist() for t in (kinds.kinds, kinds.classes))


def test_reads_stuff_things_and_groups():
    values = [0, 7, 8, 22, 23, 20, 11, 26, 26000, 26999, 33001, 34000, 65535]
    kinds, kind, classes = kinds_of(values)
    assert kinds.heights == (0.0, 0.12)
    ground = [1, 2, 2]
    assert kind == [NEITHER, *ground, NEITHER, NEITHER, *[OBSTACLE] * 5, NEITHER, NEITHER]
    assert classes == [0, 7, 8, 22, 23, 20, 11, 26, 26, 26, 33, 0, 0]


def test_ground_and_heights_are_configurable():
    kinds, kind, _ = kinds_of(
        [7, 8, 22, 11], ground=("road", "terrain"), ground_heights={"terrain": -0.1}
    )
    assert kinds.heights == (-0.1, 0.0)
    assert kind == [2, OBSTACLE, 1, OBSTACLE]


def test_overhead_is_configurable():
    assert kinds_of([20, 17], overhead=("pole",))[1] == [OBSTACLE, NEITHER]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (LabelClass(1, "tree", False, (0, 0, 0)), "no class of label set 'own' is known as ground"),
        (LabelClass(300, "road", False, (0, 0, 0)), "class id 300; grids hold 0..255"),
    ],
)
def test_refuses_label_sets_and_says_why(entry, message):
    with pytest.raises(ValueError, match=message):
        LabelKinds(LabelSet("own", (entry,)), ProjectionOptions(), 1.5)


@pytest.mark.parametrize(
    ("height", "expected"), [(0.3, (0.0,)), (0.49, (0.0,)), (0.51, (0.0, 0.12))]
)
def test_a_low_camera_drives_on_the_pavement(height, expected):
    assert LabelKinds(CITYSCAPES, ProjectionOptions(), height).heights == expected


@pytest.mark.parametrize("height", [0.8, float("nan")])
def test_refuses_ground_as_high_as_the_camera(height):
    options = ProjectionOptions(ground_heights={"sidewalk": height})
    with pytest.raises(ValueError, match=r"ground_heights .*sidewalk.* 1\.50 m"):
        LabelKinds(CITYSCAPES, options, 1.5)
