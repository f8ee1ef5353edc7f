"""COCO-panoptic files for tests, and what the official script says of them."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.evaluation.evalPanopticSemanticLabeling import pq_compute_single_core
from PIL import Image

CATEGORIES = [
    {"id": 7, "name": "road", "isthing": 0},
    {"id": 23, "name": "sky", "isthing": 0},
    {"id": 24, "name": "person", "isthing": 1},
    {"id": 26, "name": "car", "isthing": 1},
]


@dataclass
class Side:
    """One of the two things compared: the JSON file and the folder of its PNGs."""

    json: Path
    folder: Path


def segment(id_, category, **fields):
    return {"id": id_, "category_id": category, **fields}


def entry(image_id, ids, segments, *, is_truth):
    """Make an annotation; a truth's segments get the fields that the official script reads."""
    infos = [dict(s) for s in segments]
    for info in infos if is_truth else []:
        info.setdefault("area", int((np.asarray(ids) == info["id"]).sum()))
        info.setdefault("iscrowd", 0)
    return {"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": infos}


def write_side(folder: Path, name, images) -> Side:
    """Write images: image id -> (ids [H, W], segments)."""
    pngs = folder / name
    pngs.mkdir(parents=True)
    annotations = []
    for image_id, (ids, segments) in images.items():
        ids = np.asarray(ids, np.uint32)
        rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)
        Image.fromarray(rgb).save(pngs / f"{image_id}.png")
        annotations.append(entry(image_id, ids, segments, is_truth=name == "truth"))
    content = {"annotations": annotations}
    if name == "truth":
        content["categories"] = CATEGORIES
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return Side(path, pngs)


def official_results(truth: Side, prediction: Side):
    """Run the official counting in this process; return results in the form of OUT.

    Where no class occurs the official mean divides by zero: 0 stands for it here.
    """
    true, found = (json.loads(side.json.read_text()) for side in (truth, prediction))
    categories = {c["id"]: c for c in true["categories"]}
    by_id = {a["image_id"]: a for a in found["annotations"]}
    pairs = [(a, by_id[a["image_id"]]) for a in true["annotations"]]
    stat = pq_compute_single_core(0, pairs, truth.folder, prediction.folder, categories)
    results = defaultdict(dict)
    for name, is_thing in (("all", None), ("things", True), ("stuff", False)):
        try:
            results[name], per_class = stat.pq_average(categories, is_thing)
        except ZeroDivisionError:
            results[name], per_class = {"pq": 0, "sq": 0, "rq": 0, "n": 0}, {}
        for class_id, scores in per_class.items():
            counts = {k: getattr(stat[class_id], k) for k in ("iou", "tp", "fp", "fn")}
            results["per_class"][class_id] = {**scores, **counts}
    return results


def assert_same(results, expected):
    for name in ("all", "things", "stuff"):
        assert results[name] == _approx(expected[name])
    for class_id, scores in expected["per_class"].items():
        assert results["per_class"][class_id] == _approx(scores)


def _approx(scores):
    return pytest.approx({k: float(v) for k, v in scores.items()}, abs=1e-9, rel=0)
