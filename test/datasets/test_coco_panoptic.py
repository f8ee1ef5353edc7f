import json

import cv2
import numpy as np
import pytest

from panoptic_ros.datasets import open_dataset
from panoptic_ros.datasets.coco_files import BrokenFile
from panoptic_ros.datasets.coco_panoptic import CocoPanoptic

CATEGORIES = [
    {"id": 1, "name": "person", "isthing": 1},
    {"id": 13, "name": "stop sign", "isthing": 1},
    {"id": 60, "name": "donut", "isthing": 1},
    {"id": 149, "name": "road", "isthing": 0},
    {"id": 128, "name": "house", "isthing": 0},
    {"id": 197, "name": "building-other-merged", "isthing": 0},
]
# segment id, category, crowd; ids above 65535 are usual in COCO
SEGMENTS = [
    (70000, 1, 0),
    (70001, 1, 0),
    (70002, 1, 1),
    (5, 13, 0),
    (6, 60, 0),
    (300, 149, 0),
    (301, 128, 0),
    (302, 197, 0),
]


def write(root, ids, infos, categories=CATEGORIES):
    """Write one image of segment ids in COCO-panoptic's layout, split val2017."""
    ids = np.asarray(ids, np.uint32)
    bgr = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], -1).astype(np.uint8)
    for folder in ("annotations/panoptic_val2017", "val2017"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(root / "annotations/panoptic_val2017/000000000139.png"), bgr)
    picture = np.full((*ids.shape, 3), (0, 0, 200), np.uint8)
    assert cv2.imwrite(str(root / "val2017/000000000139.jpg"), picture)
    annotation = {"image_id": 139, "file_name": "000000000139.png", "segments_info": infos}
    content = {
        "images": [{"id": 139, "file_name": "000000000139.jpg"}],
        "annotations": [annotation],
        "categories": categories,
    }
    (root / "annotations/panoptic_val2017.json").write_text(json.dumps(content))


def infos(segments=SEGMENTS):
    return [{"id": i, "category_id": c, "iscrowd": crowd} for i, c, crowd in segments]


@pytest.fixture
def root(tmp_path):
    write(tmp_path, [[0, *(s[0] for s in SEGMENTS)]] * 40, infos())
    return tmp_path


def test_segments_become_labels_of_the_models_classes(root):
    data = open_dataset("coco_panoptic", root)
    assert [(s.name, s.image_id) for s in data] == [("000000000139", 139)]
    # void, two people, a group of people, traffic sign, void, road, two kinds of building
    expected = [0, 24000, 24001, 24, 20, 0, 7, 11, 11]
    assert data[0].load_instance_ids()[0].tolist() == expected
    assert data[0].load_image().shape == (40, 9, 3)


def test_categories_without_a_class_are_named(root):
    assert CocoPanoptic(root).mapped_to_void == ("donut",)


def test_categories_without_names_are_taken_by_id(tmp_path):
    write(tmp_path, [[1, 2]], infos([(1, 7, 0), (2, 26, 0)]), [
        {"id": 7, "isthing": 0}, {"id": 26, "isthing": 1}
    ])  # fmt: skip
    assert CocoPanoptic(tmp_path)[0].load_instance_ids().tolist() == [[7, 26000]]


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("annotations/panoptic_val2017.json", r"panoptic_val2017\.json is missing \(.*none\)"),
        ("annotations/panoptic_val2017", "panoptic_val2017 is missing; expected ROOT"),
        ("val2017", "val2017 is missing; expected ROOT"),
        ("val2017/000000000139.jpg", r"000000000139\.jpg is missing for image 139"),
        ("annotations/panoptic_val2017/000000000139.png", r"000000000139\.png is missing"),
    ],
)
def test_what_the_layout_lacks_is_named(root, missing, named):
    (root / missing).rename(root / "elsewhere")
    with pytest.raises(FileNotFoundError, match=named):
        CocoPanoptic(root)


def test_the_splits_that_are_there_are_told(root):
    with pytest.raises(FileNotFoundError, match=r"panoptic_val\.json is missing \(.*val2017\)"):
        CocoPanoptic(root, "val")


def test_classes_that_a_model_does_not_know_at_all_are_refused(tmp_path):
    write(tmp_path, [[1]], infos([(1, 60, 0)]), [CATEGORIES[2]])
    with pytest.raises(BrokenFile, match="none of its categories"):
        CocoPanoptic(tmp_path)


@pytest.mark.parametrize(
    ("segments", "named"),
    [
        ([(1, 1, 0)], r"does not list: \[2\]"),
        ([(1, 1, 0), (2, 999, 0)], "category id 999"),
    ],
)
def test_png_and_json_that_disagree_are_broken(tmp_path, segments, named):
    write(tmp_path, [[1, 2]], infos(segments))
    with pytest.raises(ValueError, match=rf"000000000139\.png.*{named}"):
        CocoPanoptic(tmp_path)[0].load_instance_ids()


def test_a_truncated_jpeg_is_broken(root):
    sample = CocoPanoptic(root)[0]
    sample.image.write_bytes(sample.image.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"000000000139\.jpg.*truncated jpeg"):
        sample.load_image()
