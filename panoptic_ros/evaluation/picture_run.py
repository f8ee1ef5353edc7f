"""Label a folder of pictures that have no truth."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from panoptic_ros.datasets.exports import make_export
from panoptic_ros.datasets.panoptic_sources import frame_name
from panoptic_ros.datasets.picture_files import (
    PICTURES,
    files_below,
    read_picture,
    unique_names,
    write_png,
)
from panoptic_ros.evaluation.timing import statistics
from panoptic_ros.pipeline import ImageUnfit, PanopticPipeline
from panoptic_ros.prediction import NonFinitePrediction
from panoptic_ros.visualization import overlay
from panoptic_ros.whole_files import write_json


@dataclass
class LabeledPictures:
    """Count the pictures that were labeled; broken: a line for each that was not."""

    labeled: int = 0
    broken: list[str] = field(default_factory=list)


def label_pictures(
    pipeline: PanopticPipeline,
    images: Path,
    out: Path,
    formats: tuple[str, ...] = (),
    limit: int | None = None,
) -> LabeledPictures:
    """Write OUT/labels/NAME.png, OUT/overlay/NAME.png, OUT/exports/FORMAT and OUT/results.json.

    images: folder with pictures at any depth; labels are class_id, or class_id * 1000 + n.
    Raise FileNotFoundError where there is no picture, ValueError for an unknown format and for
    OUT in the folder of pictures.
    """
    files = files_below(images, *PICTURES)[:limit]
    if not files:
        raise FileNotFoundError(f"{images}: no picture ({', '.join(PICTURES)}) below it")
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(images)):
        raise ValueError(
            f"{out} lies in {images}, where the next run would take the labels for pictures; "
            "choose another --out"
        )
    names = unique_names([p.relative_to(images).with_stem(frame_name(p.stem)) for p in files])
    labels, fusion = pipeline.labels, pipeline.fusion_name
    exports = [make_export(f, out / "exports", fusion, labels) for f in formats]
    entries: list[list[dict]] = [[] for _ in exports]
    done, milliseconds = LabeledPictures(), []
    for name, file in tqdm(list(zip(names, files, strict=True)), "labeling", unit="picture"):
        try:
            image = read_picture(file)
            result = pipeline.run(image)
        except (ImageUnfit, NonFinitePrediction, OSError, ValueError) as error:
            words = str(error)
            done.broken.append(words if str(file) in words else f"{file}: {words}")
            continue
        panoptic = result.panoptic
        write_png(out / "labels" / f"{name}.png", panoptic.labels)
        write_png(out / "overlay" / f"{name}.png", overlay(image, panoptic, labels))
        for export, kept in zip(exports, entries, strict=True):
            kept.append(export.write(name, name, panoptic))
        milliseconds.append(result.timings["total"])
        done.labeled += 1
    for export, kept in zip(exports, entries, strict=True):
        export.finish(kept)
    summary = {
        "model": {"name": pipeline.name, "fusion": fusion, "device": str(pipeline.device)},
        "images": str(images),
        "labeled": done.labeled,
        "broken": done.broken,
        "total_milliseconds": statistics(milliseconds),
    }
    write_json(out / "results.json", summary)
    return done
