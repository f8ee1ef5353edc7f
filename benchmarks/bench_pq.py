"""Time panoptic quality: a pair in memory, and files against the official script.

    python benchmarks/bench_pq.py [--images 24] [--instances 60] [--json OUT]

The official script (cityscapesscripts) and ours score the same files in turn, each on all
the cores that it takes by itself; results must agree. Times are CPU time, of children, too.
Target: <= 25 ms per 1024x2048 pair in memory, files >= 6 times as fast as the official script.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from results import Result

from panoptic_ros.evaluation.label_files import score_files
from panoptic_ros.labels import CITYSCAPES, class_ids
from panoptic_ros.scores.panoptic_quality import PanopticQuality
from panoptic_ros.scores.segments import label_image_segments
from panoptic_ros.whole_files import write_json

SIZE = (1024, 2048)
INSTANCES = (20, 60)
ROUNDS = 5
IMAGES = 24


def frame(seed: int, instances: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a truth and a prediction that nearly agrees, uint16 [H, W], as a street has it."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    truth = np.zeros(SIZE, np.uint16)
    edges = np.linspace(0, height, len(CITYSCAPES.stuff) + 1).astype(int)
    for label, top, bottom in zip(CITYSCAPES.stuff, edges[:-1], edges[1:], strict=True):
        truth[top:bottom] = label.id
    for number in range(instances):
        label = CITYSCAPES.things[number % len(CITYSCAPES.things)]
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(4, 120)), int(rng.integers(4, 120)))
        value = label.id * 1000 + number
        cv2.ellipse(truth, centre, axes, int(rng.integers(180)), 0, 360, value, -1)
    # Ragged outlines, as networks draw them: every pixel looks a few pixels away.
    shift = cv2.GaussianBlur(rng.normal(0, 25, (*SIZE, 2)).astype(np.float32), (0, 0), 3)
    x, y = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in (width, height)))
    prediction = cv2.remap(
        truth, x + shift[..., 0], y + shift[..., 1], cv2.INTER_NEAREST, borderMode=1
    )
    return truth, prediction


def write(folder: Path, name: str, images: list[np.ndarray]) -> None:
    """Write label images as COCO-panoptic files NAME.json and NAME/."""
    (folder / name).mkdir()
    annotations = []
    for i, image in enumerate(images):
        colors = np.stack([image & 255, image >> 8, image * 0], axis=-1).astype(np.uint8)
        # As the official conversion writes them: OpenCV's own PNGs decode more slowly.
        Image.fromarray(colors).save(folder / name / f"{i}.png")
        ids, areas = np.unique(image, return_counts=True)
        infos = [
            {"id": v, "category_id": c, "area": a, "iscrowd": 0}
            for v, c, a in zip(ids.tolist(), class_ids(ids).tolist(), areas.tolist(), strict=True)
        ]
        annotations.append({"image_id": i, "file_name": f"{i}.png", "segments_info": infos})
    categories = [
        {"id": c.id, "name": c.name, "isthing": int(c.is_thing)} for c in CITYSCAPES.classes
    ]
    content = {"annotations": annotations, "categories": categories}
    (folder / f"{name}.json").write_text(json.dumps(content))


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of a call, in all threads and in processes that have ended."""
    start = _cpu_seconds()
    work()
    return _cpu_seconds() - start


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def in_memory(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the median milliseconds of scoring a pair of label images."""
    quality = PanopticQuality.of(CITYSCAPES)

    def score(truth: np.ndarray, prediction: np.ndarray) -> None:
        quality.add(*label_image_segments(truth, prediction, CITYSCAPES))

    return 1e3 * statistics.median(seconds(partial(score, *pair)) for pair in pairs * ROUNDS)


def files(folder: Path) -> tuple[float, float]:
    """Return the best seconds of the official script and of ours on the same files."""
    from cityscapesscripts.evaluation.evalPanopticSemanticLabeling import evaluatePanoptic

    truth, prediction = folder / "truth", folder / "prediction"
    jsons = truth.with_suffix(".json"), prediction.with_suffix(".json")
    results: dict[str, float] = {}

    def official() -> None:
        found = evaluatePanoptic(
            str(jsons[0]), str(truth), str(jsons[1]), str(prediction), str(folder / "out.json")
        )
        results["official"] = found["All"]["pq"]

    def ours() -> None:
        score = score_files(jsons[0], truth, jsons[1], prediction)
        results["ours"] = score.quality.results()["all"]["pq"]

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        times = [(seconds(official), seconds(ours)) for _ in range(ROUNDS)]
    if abs(results["official"] - results["ours"]) > 1e-9:
        raise SystemExit(f"the two scores differ: {results}")
    return min(t[0] for t in times), min(t[1] for t in times)


def measure(count: int, instances: int) -> dict[str, float]:
    """Return the milliseconds per pair, in memory and from files, by us and officially."""
    pairs = [frame(seed, instances) for seed in range(count)]
    memory = in_memory(pairs)
    with tempfile.TemporaryDirectory() as name:
        for side, images in zip(("truth", "prediction"), zip(*pairs, strict=True), strict=True):
            write(Path(name), side, list(images))
        official, ours = files(Path(name))
    return {
        "pair_in_memory_ms": memory,
        "files_official_ms_per_pair": 1e3 * official / count,
        "files_ours_ms_per_pair": 1e3 * ours / count,
        "files_speedup": official / ours,
    }


def run(device: torch.device) -> list[Result]:
    """Give the figures to run.py; the device plays no part."""
    return [result for instances in INSTANCES for result in _results(instances)]


def _results(instances: int) -> list[Result]:
    figures = measure(IMAGES, instances)
    memory = {"pair": figures["pair_in_memory_ms"]}
    files_ms = {k: figures[f"files_{k}_ms_per_pair"] for k in ("official", "ours")}
    about = f"CPU time, {IMAGES} pairs of {SIZE[1]}x{SIZE[0]}"
    pair = f"pq: a pair of {instances} in memory"
    against = f"pq: files of {instances} against official"
    faster, equal = figures["files_speedup"], f"{about}; scores equal"
    return [
        Result(pair, memory["pair"], "ms", 25, False, memory, about),
        Result(against, faster, "times faster", 6, True, files_ms, equal),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES, help=f"pairs (default: {IMAGES})")
    parser.add_argument("--instances", type=int, default=60, help="in a pair (default: 60)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures")
    args = parser.parse_args()
    figures = measure(args.images, args.instances)
    for key, value in figures.items():
        print(f"{key:28s} {value:8.1f}")
    if args.json:
        write_json(args.json, figures, indent=2)


if __name__ == "__main__":
    main()
