import json
import os
from pathlib import Path
from types import SimpleNamespace

import cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling as official  # noqa: N813
import numpy as np
import pytest
from cityscapesscripts.evaluation.instances2dict import instances2dict
from PIL import Image

from panoptic_ros.datasets.exports import COCO_CATEGORIES, EXPORTS, make_export
from panoptic_ros.datasets.panoptic_sources import open_source
from panoptic_ros.datasets.picture_files import write_png
from panoptic_ros.evaluation.label_files import score_sources
from panoptic_ros.labels import CITYSCAPES, class_ids
from panoptic_ros.prediction import PanopticPrediction, Segment

NAME = "aachen_000000_000019"


@pytest.fixture(scope="module")
def labels():
    found = np.full((40, 60), 7, np.uint16)
    found[:10], found[10:14, :9] = 23, 17
    found[20:34, 5:20], found[20:34, 30:45] = 26000, 26001
    found[15:39, 50:58], found[2:14, 30:44] = 24000, 25000
    return found


@pytest.fixture(scope="module")
def folder(labels, tmp_path_factory):
    """Everything that the exports write of one frame."""
    folder = tmp_path_factory.mktemp("exports")
    things = [v for v in np.unique(labels).tolist() if v >= 1000]
    segments = [
        Segment(v, v // 1000, True, 0.9 - 0.1 * i, int((labels == v).sum()), (0, 0, 60, 40))
        for i, v in enumerate(things)
    ]
    for name in EXPORTS:
        export = make_export(name, folder, "stack", CITYSCAPES)
        export.finish([export.write(NAME, "000139", PanopticPrediction(labels, segments))])
    return folder


def test_coco_has_its_own_category_ids_and_numbers_of_images(folder, labels):
    content = json.loads((folder / "coco" / "stack.json").read_text())
    (entry,) = content["annotations"]
    assert (entry["image_id"], entry["file_name"]) == (139, f"{NAME}.png")
    found = sorted((s["category_id"], s["area"]) for s in entry["segments_info"])
    expected = [
        (COCO_CATEGORIES[CITYSCAPES[int(class_ids(np.array(v)))].name][0], int((labels == v).sum()))
        for v in np.unique(labels)
        if v != 17  # a pole, which COCO does not know
    ]
    assert found == sorted(expected)
    assert [i for i, _ in found] == [1, 1, 3, 3, 149, 187]
    ids = np.asarray(Image.open(folder / "coco" / "stack" / f"{NAME}.png")).astype(int)
    assert len({s["id"] for s in entry["segments_info"]}) == 6
    assert (ids @ [1, 256, 65536])[11, 3] == 0


@pytest.mark.parametrize(
    ("place", "layout"), [("cityscapes_panoptic/stack.json", None), ("kitti/stack", "kitti")]
)
def test_evaluate_files_reads_what_is_written(place, layout, folder, labels, tmp_path):
    path = tmp_path / f"{NAME}_gtFine_instanceIds.png"
    Image.fromarray(labels).save(path)
    truth = open_source(tmp_path)
    found = score_sources(truth, open_source(folder / place, None, layout, truth.labels))
    assert (found.broken, found.missing, found.warnings) == ([], [], [])
    assert found.results()["all"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": 6}
    assert found.confusion.mean_iou() == 1.0


def test_the_official_tool_reads_the_lists_of_instances(folder, labels, tmp_path, monkeypatch):
    # The official script asks NumPy for a name that newer ones have given up.
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    path = tmp_path / f"{NAME}_gtFine_instanceIds.png"
    Image.fromarray(labels).save(path)
    arguments = SimpleNamespace(**vars(official.args))
    official.setInstanceLabels(arguments)
    arguments.predictionPath = str(folder / "cityscapes_instances" / "stack" / "instances")
    arguments.predictionWalk = None
    found = official.readPredInfo(official.getPrediction(str(path), arguments), arguments)
    true = instances2dict([str(path)], verbose=False)[str(path.resolve())]
    matches = official.assignGt2Preds(true, Image.open(path), found, arguments)
    pairs = {"0": dict(zip(("groundTruth", "prediction"), matches, strict=True))}
    averages = official.computeAverages(official.evaluateMatches(pairs, arguments), arguments)
    assert averages["allAp"] == pytest.approx(1)
    assert [entry["labelID"] for entry in found.values()] == [24, 25, 26, 26]


def test_labels_are_one_byte_a_pixel(folder, labels):
    root = folder / "cityscapes_instances" / "stack" / "labels"
    found = np.asarray(Image.open(root / f"{NAME}_labelIds.png"))
    assert found.dtype == np.uint8
    assert (found == class_ids(labels)).all()
    line = (folder / "kitti" / "stack" / "pred_list" / f"{NAME}.txt").read_text().splitlines()[0]
    assert line == f"../pred_img/{NAME}_000.png 24 0.900000"
    assert (folder / "kitti" / "stack" / "pred_list" / line.split()[0]).is_file()


@pytest.mark.parametrize(
    ("kind", "lists"), [("kitti", "pred_list"), ("cityscapes_instances", "instances")]
)
def test_the_lists_of_frames_in_folders_name_their_masks(kind, lists, tmp_path):
    car = Segment(26000, 26, True, 0.9, 8, (0, 0, 4, 2))
    image = np.zeros((4, 4), np.uint16)
    image[:2] = car.id
    make_export(kind, tmp_path, "stack", CITYSCAPES).write(
        "0001/000000", 0, PanopticPrediction(image, [car])
    )
    listed = tmp_path / kind / "stack" / lists / "0001" / "000000.txt"
    assert (listed.parent / listed.read_text().split()[0]).is_file()


def test_fiftyone_finds_pictures_and_relative_boxes(folder, tmp_path):
    written = folder / "fiftyone" / "stack"
    # FiftyOne's importer takes an extension off the names of the manifest.
    pictures = json.loads((written / "data.json").read_text())
    assert list(pictures) == [f"{NAME}.jpg"]
    picture = Path(os.path.normpath(written / pictures[f"{NAME}.jpg"]))
    assert picture == folder.parent / "pictures" / NAME / "camera.jpg"
    (found,) = json.loads((written / "labels.json").read_text())["labels"].values()
    assert [d["label"] for d in found] == ["person", "rider", "car", "car"]
    assert found[0]["bounding_box"] == [0, 0, 1, 1]
    assert found[0]["confidence"] == pytest.approx(0.9)
    assert found[0]["attributes"] == {"area": 192, "segment_id": 24000}
    export = make_export("fiftyone", tmp_path / "out" / "exports", "stack", CITYSCAPES)
    write_png(tmp_path / "out" / "overlay" / "a.b.png", np.zeros((2, 2, 3), np.uint8))
    export.finish([{"name": "a.b", "detections": []}])
    places = json.loads((tmp_path / "out/exports/fiftyone/stack/data.json").read_text())
    assert places == {"a.b.png": "../../../overlay/a.b.png"}


def test_an_unknown_format_is_named(tmp_path):
    with pytest.raises(ValueError, match="unknown format 'voc'; known: coco, cityscapes_panoptic"):
        make_export("voc", tmp_path, "stack", CITYSCAPES)
