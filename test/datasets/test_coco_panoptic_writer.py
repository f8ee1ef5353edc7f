import json

import numpy as np
import pytest
from coco_example import Side, assert_same, official_results
from PIL import Image

from panoptic_ros.datasets.coco_panoptic_writer import PanopticWriter
from panoptic_ros.labels import CITYSCAPES, LabelClass, LabelSet
from panoptic_ros.scores.panoptic_quality import PanopticQuality
from panoptic_ros.scores.segments import label_image_segments


def blocks(seed, values):
    """Return a label image of 4 x 4 blocks."""
    chosen = np.random.default_rng(seed).choice(values, (8, 12))
    return np.kron(chosen, np.ones((4, 4), int)).astype(np.uint16)


def write(folder, name, images):
    writer = PanopticWriter(folder, name, CITYSCAPES)
    writer.finish([writer.write(frame, frame, labels) for frame, labels in images.items()])
    return Side(folder / f"{name}.json", folder / name)


def test_the_official_evaluation_runs_on_what_is_written(tmp_path):
    # Stuff, things, groups, void and classes that are not scored.
    truth = {f"f{i}": blocks(i, [0, 4, 7, 11, 23, 24, 24000, 24001, 26, 26003]) for i in range(3)}
    found = {
        name: np.where(np.random.default_rng(9).random(t.shape) < 0.05, 7, t)
        for name, t in truth.items()
    }
    for labels in found.values():
        labels[np.isin(labels, [4, 24, 26])] = 0  # predictions know neither groups nor others
    quality = PanopticQuality.of(CITYSCAPES)
    for name, labels in found.items():
        quality.add(*label_image_segments(truth[name], labels, CITYSCAPES))
    official = official_results(write(tmp_path, "truth", truth), write(tmp_path, "found", found))
    assert_same(quality.results(), official)
    assert quality.results()["all"]["n"] > 4


def test_an_entry_lists_area_box_and_crowd(tmp_path):
    labels = np.full((4, 6), 7, np.uint16)
    labels[1:3, 2:5] = 26001
    labels[3, 0] = 26
    side = write(tmp_path, "truth", {"frame": labels})
    content = json.loads(side.json.read_text())
    assert content["annotations"] == [
        {
            "image_id": "frame",
            "file_name": "frame.png",
            "segments_info": [
                {"id": 7, "category_id": 7, "area": 17, "bbox": [0, 0, 6, 4], "iscrowd": 0},
                {"id": 26, "category_id": 26, "area": 1, "bbox": [0, 3, 1, 1], "iscrowd": 1},
                {"id": 26001, "category_id": 26, "area": 6, "bbox": [2, 1, 3, 2], "iscrowd": 0},
            ],
        }
    ]
    assert {"id": 26, "name": "car", "isthing": 1, "color": [0, 0, 142]} in content["categories"]


def test_ids_above_65535_fit(tmp_path):
    labels = LabelSet("one", (LabelClass(200, "banner", True, (1, 2, 3)),))
    writer = PanopticWriter(tmp_path, "found", labels)
    writer.write("frame", 139, np.full((1, 1), 200007, np.int32))
    red, green, blue = np.asarray(Image.open(tmp_path / "found" / "frame.png"))[0, 0].tolist()
    assert red + 256 * green + 65536 * blue == 200007


def test_what_cannot_be_written_is_named(tmp_path):
    writer = PanopticWriter(tmp_path, "found", CITYSCAPES)
    (tmp_path / "found" / "no").write_bytes(b"")
    with pytest.raises(OSError, match=r"no/frame\.png"):
        writer.write("no/frame", 1, np.zeros((4, 4), np.uint16))
