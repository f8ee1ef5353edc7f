import copy
import functools
import json
import os
import shutil
import struct
import zlib

import cv2
import numpy as np
import pytest
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage

from panoptic_ros.datasets import open_dataset
from panoptic_ros.datasets.cityscapes import Cityscapes, draw_polygons
from panoptic_ros.labels import CITYSCAPES

FRAME = "aachen_000000_000019"


@pytest.fixture
def root(tmp_path):
    """One frame of 4 x 6 pixels in Cityscapes' layout."""
    image = np.zeros((4, 6, 3), np.uint8)
    image[..., 2] = 200
    instances = np.full((4, 6), 7, np.uint16)
    instances[1, 2:4] = 26001
    for kind, suffix, pixels in (
        ("leftImg8bit", "leftImg8bit", image),
        ("gtFine", "gtFine_instanceIds", instances),
        ("gtFine", "gtFine_labelIds", np.where(instances > 1000, 26, 7).astype(np.uint8)),
    ):
        folder = tmp_path / kind / "val" / "aachen"
        folder.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / f"{FRAME}_{suffix}.png"), pixels)
    return tmp_path


def test_a_sample_is_read_as_rgb_label_ids_and_instance_ids(root):
    data = Cityscapes(root, "val")
    assert [s.name for s in data] == [FRAME]
    assert data[0].load_image()[0, 0].tolist() == [200, 0, 0]
    assert data[0].load_instance_ids()[1].tolist() == [7, 7, 26001, 26001, 7, 7]
    assert data[0].load_label_ids()[1].tolist() == [7, 7, 26, 26, 7, 7]


@pytest.mark.parametrize("kind", ["labelIds", "instanceIds"])
def test_a_missing_label_file_is_named_with_the_layout(root, kind):
    path = root / "gtFine" / "val" / "aachen" / f"{FRAME}_gtFine_{kind}.png"
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{path.name} is missing.*ROOT/leftImg8bit/SPLIT"):
        Cityscapes(root, "val")


def test_a_missing_split_is_named_with_the_layout(root):
    with pytest.raises(FileNotFoundError, match=r"leftImg8bit/train is missing.*CITY"):
        Cityscapes(root, "train")


def test_a_split_without_images_is_refused(root):
    next(root.glob("leftImg8bit/val/aachen/*")).unlink()
    with pytest.raises(FileNotFoundError, match="holds no image"):
        Cityscapes(root, "val")


def test_a_file_that_vanished_or_broke_is_named(root):
    sample = Cityscapes(root, "val")[0]
    sample.image.write_bytes(b"not a png")
    with pytest.raises(ValueError, match=f"{sample.image.name} is not an image"):
        sample.load_image()
    sample.image.unlink()
    with pytest.raises(FileNotFoundError, match=sample.image.name):
        sample.load_image()


def test_labels_of_the_wrong_type_are_refused(root):
    sample = Cityscapes(root, "val")[0]
    cv2.imwrite(str(sample.instance_ids), np.zeros((4, 6), np.uint8))
    with pytest.raises(ValueError, match=r"uint8.*expected uint16"):
        sample.load_instance_ids()


def test_unfinished_images_are_not_listed(root):
    folder = root / "leftImg8bit" / "val" / "aachen"
    (folder / ".aachen_000000_000020_leftImg8bit.png").write_bytes(b"")
    assert len(Cityscapes(root, "val")) == 1


def test_data_sets_are_found_by_name(root):
    assert isinstance(open_dataset("cityscapes", root, "val"), Cityscapes)
    with pytest.raises(ValueError, match=r"'nuscenes'.*cityscapes.*coco_panoptic.*kitti.*town"):
        open_dataset("nuscenes", root, "val")


def test_the_towns_own_truth_is_asked_for_by_name(root):
    data = open_dataset("town", root, "val")
    with pytest.raises(FileNotFoundError, match=rf"{FRAME}_depth\.png is missing"):
        data.depth(data[0])


@pytest.mark.parametrize(
    "content", [b"", b"PK\3\4", b"PK\3\4" + bytes(99), b"{}", b"[7]", b'{"x": 1}']
)
@pytest.mark.parametrize("kind", ["camera", "ego_pose", "ground_plan"])
def test_the_towns_own_truth_that_is_broken_is_named(root, kind, content):
    folder = root / kind / "val" / "aachen"
    folder.mkdir(parents=True)
    file = folder / f"{FRAME}_{kind}.{'npz' if kind == 'ground_plan' else 'json'}"
    file.write_bytes(content)
    data = open_dataset("town", root, "val")
    with pytest.raises(ValueError, match=rf"{file.name}"):
        getattr(data, kind)(data[0])


TOWN = {
    "camera": {
        "extrinsic": dict.fromkeys(("x", "y", "z", "roll", "pitch", "yaw"), 0.0),
        "intrinsic": dict.fromkeys(("fx", "fy", "u0", "v0"), 1.0),
    },
    "ego_pose": dict.fromkeys(("x", "y", "yaw", "time"), 0.0),
    "ground_plan": {
        "grid": {"resolution": 0.2, "x_range": [0, 1], "y_range": [0, 1]},
        "boxes": [
            {
                **dict.fromkeys(("id", "class_id", "yaw"), 1),
                "center": [1, 2, 3],
                "size": [1, 2, 3],
                "velocity": [0, 0],
            }
        ],
    },
}


@pytest.mark.parametrize(
    ("kind", "keys", "value"),
    [
        ("camera", ("extrinsic", "yaw"), None),
        ("camera", ("intrinsic", "fx"), "80"),
        ("camera", ("extrinsic",), []),
        ("ego_pose", ("x",), None),
        ("ego_pose", ("time",), [0]),
        ("ego_pose", ("time",), 10**400),
        ("ground_plan", ("grid", "x_range"), [0]),
        ("ground_plan", ("grid", "resolution"), "0.2"),
        ("ground_plan", ("boxes",), {"a": 1}),
        ("ground_plan", ("boxes", 0), 7),
        ("ground_plan", ("boxes", 0, "center"), [0, 1]),
        ("ground_plan", ("boxes", 0, "velocity"), 3),
    ],
)
def test_a_value_of_the_towns_truth_that_is_none_is_named(root, kind, keys, value):
    content = copy.deepcopy(TOWN[kind])
    data = open_dataset("town", root, "val")
    folder = root / kind / "val" / "aachen"
    folder.mkdir(parents=True)
    plan = {name: np.zeros((3, 4), np.uint8) for name in ("surface", "classes", "occupied")}
    np.savez(folder / f"{FRAME}_ground_plan.npz", **plan)
    file = folder / f"{FRAME}_{kind}.json"
    file.write_text(json.dumps(content))
    getattr(data, kind)(data[0])
    *above, last = keys
    functools.reduce(lambda part, key: part[key], above, content)[last] = value
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"^{file}.*(must be|is no list)"):
        getattr(data, kind)(data[0])


@pytest.mark.parametrize(
    "array", [np.zeros((3, 5), np.uint8), np.zeros(3, np.uint8), np.zeros((3, 4))]
)
def test_a_ground_plan_of_other_arrays_is_named(root, array):
    folder = root / "ground_plan" / "val" / "aachen"
    folder.mkdir(parents=True)
    file = folder / f"{FRAME}_ground_plan.npz"
    plan = {name: np.zeros((3, 4), np.uint8) for name in ("classes", "occupied")}
    np.savez(file, surface=array, **plan)
    data = open_dataset("town", root, "val")
    with pytest.raises(ValueError, match=rf"^{file} is damaged: its arrays"):
        data.ground_plan(data[0])


def test_a_pipe_in_place_of_a_picture_is_named(root):
    (picture,) = root.glob("leftImg8bit/val/aachen/*")
    data = open_dataset("cityscapes", root, "val")
    picture.unlink()
    os.mkfifo(picture)
    with pytest.raises(ValueError, match=rf"^{picture} is not a file"):
        data[0].load_image()


def write(root, kind, pixels):
    assert cv2.imwrite(str(root / f"gtFine/val/aachen/{FRAME}_gtFine_{kind}.png"), pixels)


TRAIN_IDS = np.zeros((4, 6), np.uint8)
TRAIN_IDS[1, 2:4] = 13
TRAIN_INSTANCES = np.where(TRAIN_IDS == 13, 13001, 0).astype(np.uint16)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labelIds": TRAIN_IDS}, "labelIds.png looks like train ids .*road 7"),
        ({"instanceIds": TRAIN_INSTANCES}, "instanceIds.png looks like train ids .*road 7"),
        (
            {"labelIds": TRAIN_IDS, "instanceIds": TRAIN_INSTANCES},
            "instanceIds.png looks like train ids",
        ),
        (
            {"instanceIds": np.where(TRAIN_IDS == 13, 255, 1).astype(np.uint16)},
            "instanceIds.png looks like train ids",
        ),
        (
            {"labelIds": np.full((4, 6), 23, np.uint8)},
            "disagree at 24 pixels: at row 0, column 0 one says class 23, the other 7",
        ),
        ({"labelIds": np.full((5, 6), 7, np.uint8)}, r"instanceIds.png is \[4, 6\] .*\[5, 6\]"),
        ({"labelIds": np.full((4, 6), 7, np.uint16)}, "labelIds.png holds uint16"),
    ],
)
def test_truth_of_other_ids_is_told_with_what_it_looks_like(root, changes, words):
    for kind, pixels in changes.items():
        write(root, kind, pixels)
    with pytest.raises(ValueError, match=words):
        Cityscapes(root, "val")[0].load_instance_ids()


def test_a_number_plate_is_no_train_id(root):
    instances = np.full((4, 6), 7, np.uint16)
    instances[0, 0] = 65535
    labels = np.full((4, 6), 7, np.uint8)
    labels[0, 0] = 255
    write(root, "instanceIds", instances)
    write(root, "labelIds", labels)
    assert Cityscapes(root, "val")[0].load_instance_ids()[0, :2].tolist() == [65535, 7]


def test_a_label_file_that_is_broken_is_named(root):
    path = root / f"gtFine/val/aachen/{FRAME}_gtFine_labelIds.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"labelIds.png is not an image"):
        Cityscapes(root, "val")[0].load_instance_ids()


@pytest.mark.parametrize("size", [(60000, 60000), (1 << 16, 1 << 10), (1 << 31, 1)])
@pytest.mark.parametrize("kind", ["labelIds", "instanceIds"])
def test_truth_that_claims_more_than_there_is_is_named(root, kind, size):
    path = root / f"gtFine/val/aachen/{FRAME}_gtFine_{kind}.png"
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", *size)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{kind}.png is not an image that can be read: cannot"):
        Cityscapes(root, "val")[0].load_instance_ids()


@pytest.mark.parametrize("moved", ["images", "labels", "both"])
def test_folders_by_city_are_not_needed(root, moved):
    kinds = {"images": ["leftImg8bit"], "labels": ["gtFine"], "both": ["leftImg8bit", "gtFine"]}
    for kind in kinds[moved]:
        for file in list((root / kind / "val" / "aachen").iterdir()):
            file.rename(root / kind / "val" / file.name)
        (root / kind / "val" / "aachen").rmdir()
    data = Cityscapes(root, "val")
    assert [s.name for s in data] == [FRAME]
    assert data[0].load_instance_ids()[1, 2] == 26001


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG"])
def test_camera_pictures_may_be_jpeg(root, suffix):
    png = root / f"leftImg8bit/val/aachen/{FRAME}_leftImg8bit.png"
    _, content = cv2.imencode(".jpg", cv2.imread(str(png)))
    png.with_suffix(suffix).write_bytes(content.tobytes())
    png.unlink()
    data = Cityscapes(root, "val")
    assert [s.name for s in data] == [FRAME]
    assert data[0].load_image().shape == (4, 6, 3)


def test_frames_of_one_name_in_two_folders_are_two(root):
    for kind in ("leftImg8bit", "gtFine"):
        shutil.copytree(root / kind / "val" / "aachen", root / kind / "val" / "bonn")
    data = Cityscapes(root, "val")
    assert [s.name for s in data] == [f"aachen__{FRAME}", f"bonn__{FRAME}"]
    assert [s.instance_ids.parent.name for s in data] == ["aachen", "bonn"]


SQUARES = [
    ("road", [0, 0, 5, 3]),
    ("car", [2, 1, 3, 2]),
    ("static", [5, 0, 5, 3]),
    ("car", [3, 2, 4, 3]),
    ("persongroup", [0, 0, 0, 0]),
]


def as_polygons(root, change=lambda content: None):
    """Exchange the truth of the example for polygons."""
    folder = root / "gtFine" / "val" / "aachen"
    for kind in ("labelIds", "instanceIds"):
        (folder / f"{FRAME}_gtFine_{kind}.png").unlink()
    objects = [
        {"label": label, "polygon": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]], "date": "today"}
        for label, (x0, y0, x1, y1) in SQUARES
    ]
    content = {"imgHeight": 4, "imgWidth": 6, "objects": objects}
    change(content)
    (folder / f"{FRAME}_gtFine_polygons.json").write_text(json.dumps(content))


def test_polygons_alone_are_drawn(root):
    as_polygons(root)
    (sample,) = Cityscapes(root, "val")
    expected = np.full((4, 6), 7)
    expected[1:3, 2:4] = 26000
    expected[:, 5] = 0
    expected[2:4, 3:5] = 26001
    expected[0, 0] = 24
    np.testing.assert_array_equal(sample.load_instance_ids(), expected)
    assert sample.load_label_ids()[2].tolist() == [7, 7, 26, 26, 26, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("objects"), "objects is missing"),
        (lambda c: c.update(imgWidth="6"), "imgWidth is '6'; it must be a whole number"),
        (lambda c: c.update(imgWidth=60000, imgHeight=60000), "60000 x 60000 is no size"),
        (lambda c: c.update(imgWidth=-6, imgHeight=-4), "-6 x -4 is no size"),
        (lambda c: c["objects"].extend(c["objects"][1:2] * 999), r"objects\[\d+\]: .* 1000 is not"),
        (lambda c: c["objects"][1].update(label=3), r"objects\[1\]: label is 3; it must be text"),
        (lambda c: c["objects"][1].update(polygon=[[1]]), r"objects\[1\]: polygon is \[1\]; it"),
        (
            lambda c: c["objects"][1].update(polygon=[[0, 0], [1e300, 0], [9, 9]]),
            r"objects\[1\]: polygon has a corner beyond",
        ),
        (lambda c: c["objects"].append(3), r"objects\[5\] must be a mapping"),
    ],
)
def test_polygons_of_another_kind_are_named(root, change, words):
    as_polygons(root, change)
    with pytest.raises(ValueError, match=rf"polygons.json: .*{words}"):
        Cityscapes(root, "val")[0].load_instance_ids()


@pytest.mark.parametrize("seed", range(5))
def test_polygons_are_drawn_as_cityscapes_own_tools_draw_them(tmp_path, seed):
    rng = np.random.default_rng(seed)
    names = ["road", "sky", "car", "cargroup", "person", "static", "rider", "caravan", "bicycle"]
    objects = [
        {
            "label": str(rng.choice(names)),
            "polygon": rng.uniform(-5, 70, (int(rng.integers(3, 9)), 2)).round(1).tolist(),
        }
        for _ in range(20)
    ]
    file = tmp_path / "a_gtFine_polygons.json"
    file.write_text(json.dumps({"imgHeight": 48, "imgWidth": 64, "objects": objects}))
    annotation = Annotation()
    annotation.fromJsonFile(str(file))
    theirs = np.array(createInstanceImage(annotation, "ids"))
    classes = np.where(theirs >= 1000, theirs // 1000, theirs)
    expected = np.where(np.isin(classes, CITYSCAPES.ids), theirs, 0)
    np.testing.assert_array_equal(draw_polygons(file), expected)
