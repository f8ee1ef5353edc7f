import json
from pathlib import Path

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
    [([(1, 1, 0)], r"does not list: \[2\]"), ([(1, 1, 0), (2, 999, 0)], "category id 999")],
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


def edit(root, change):
    """Change the JSON of the example."""
    file = root / "annotations/panoptic_val2017.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def set_in(*keys, value):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


INFO = ("annotations", 0, "segments_info", 2)


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (
            (*INFO, "area"),
            None,
            r"annotations\[0\]: segments_info\[2\]: area is None, must be a whol",
        ),
        ((*INFO, "area"), "12", "area is '12', must be a whole number"),
        ((*INFO, "area"), 10**30, "area is 1000.*, must be a whole number"),
        ((*INFO, "area"), -1, "area is -1, must be"),
        ((*INFO, "area"), 1.5, "area is 1.5, must be"),
        ((*INFO, "area"), [1], r"area is \[1\], must be"),
        ((*INFO, "iscrowd"), None, "iscrowd is None, must be a whole number, 0..1"),
        ((*INFO, "iscrowd"), 2, "iscrowd is 2, must be"),
        ((*INFO, "iscrowd"), "0", "iscrowd is '0', must be"),
        ((*INFO, "id"), "7", "id is '7', must be"),
        ((*INFO, "id"), 1 << 24, "id is 16777216, must be a whole number, 0..16777215"),
        ((*INFO, "id"), None, "id is None"),
        ((*INFO, "category_id"), [1], r"category_id is \[1\]"),
        ((*INFO, "category_id"), {}, "category_id is {}"),
        (INFO, 3, r"segments_info\[2\] is '3', no mapping"),
        (INFO[:3], "none", "segments_info is 'none', must be a list"),
        (("annotations", 0, "image_id"), [139], r"image_id is \[139\], must be text or a whole"),
        (("annotations", 0, "image_id"), None, "image_id is None"),
        (("annotations", 0, "image_id"), True, "image_id is True"),
        (("annotations", 0, "file_name"), 139, "file_name is 139, must be a file's name"),
        (("annotations", 0, "file_name"), "", "file_name is ''"),
        (("annotations", 0, "file_name"), ".", "file_name is '.'"),
        (("annotations", 0, "file_name"), "/", "file_name is '/'"),
        (("annotations",), {}, "annotations is {}, must be a list"),
        (("categories", 0, "isthing"), "0", r"categories\[0\]: isthing is '0', must be a whole"),
        (("categories", 0, "isthing"), None, "isthing is None"),
        (("categories", 0, "id"), "1", "id is '1'"),
        (("categories",), None, "categories is None, must be a list"),
        (("images", 0, "id"), {}, r"images\[0\]: id is {}"),
        (("images", 0, "file_name"), None, "file_name is None"),
    ],
)
def test_a_value_of_another_kind_is_named_with_its_entry(root, keys, value, words):
    edit(root, set_in(*keys, value=value))
    with pytest.raises(BrokenFile, match=rf"panoptic_val2017.json: not a COCO.*{words}"):
        CocoPanoptic(root)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"[" * 200_000, "nested too deeply"), (b"[]", "no mapping"), (b"\xff", "cannot be read")],
)
def test_json_of_another_kind_is_named(root, content, words):
    (root / "annotations/panoptic_val2017.json").write_bytes(content)
    with pytest.raises(BrokenFile, match=rf"panoptic_val2017.json.*{words}"):
        CocoPanoptic(root)


def test_backslashes_a_byte_order_mark_and_floats_are_understood(root):
    (root / "annotations/panoptic_val2017/a").mkdir()
    png = root / "annotations/panoptic_val2017/000000000139.png"
    png.rename(png.parent / "a" / png.name)
    edit(root, set_in("annotations", 0, "file_name", value=f"a\\{png.name}"))
    edit(root, set_in("images", 0, "file_name", value="val2017\\000000000139.jpg"))
    edit(root, set_in(*INFO, "area", value=3.0))
    edit(root, set_in(*INFO, "iscrowd", value=True))
    file = root / "annotations/panoptic_val2017.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    data = CocoPanoptic(root)
    assert data[0].load_instance_ids()[0, 3] == 24
    assert data[0].load_image().shape == (40, 9, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpeg"])
def test_pictures_may_have_another_suffix_than_jpg(root, suffix):
    picture = root / "val2017/000000000139.jpg"
    picture.rename(picture.with_suffix(suffix))
    edit(root, lambda content: content.pop("images"))
    assert CocoPanoptic(root)[0].image.suffix == suffix


def test_files_of_one_name_in_two_folders_are_two_frames(root):
    truth, pictures = root / "annotations/panoptic_val2017", root / "val2017"
    for folder, file in ((truth, "000000000139.png"), (pictures, "000000000139.jpg")):
        for city in ("a", "b"):
            (folder / city).mkdir()
            (folder / city / f"1{Path(file).suffix}").write_bytes((folder / file).read_bytes())

    def both(content):
        (first,) = content["annotations"]
        content["annotations"] = [
            first | {"image_id": i, "file_name": f"{city}/1.png"}
            for i, city in ((1, "a"), (2, "b"))
        ]
        content["images"] = [{"id": i, "file_name": f"{c}/1.jpg"} for i, c in ((1, "a"), (2, "b"))]

    edit(root, both)
    data = CocoPanoptic(root)
    assert [(s.name, s.image_id, s.image.parent.name) for s in data] == [
        ("a__1", 1, "a"),
        ("b__1", 2, "b"),
    ]


def test_an_image_that_is_listed_twice_is_one_frame_and_said(root, caplog):
    edit(root, lambda content: content["annotations"].append(content["annotations"][0]))
    assert len(CocoPanoptic(root)) == 1
    assert "1 entries of images that have one already" in caplog.text


def test_two_categories_of_one_id_are_refused(root):
    edit(root, set_in("categories", 1, "id", value=1))
    with pytest.raises(BrokenFile, match=r"val2017.json: category id 1 is there twice"):
        CocoPanoptic(root)
