"""The pictures of a report, embedded in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from panoptic_ros.datasets.picture_files import decoded
from panoptic_ros.evaluation.report.segment_errors import crop, worst_errors
from panoptic_ros.labels import LabelSet, class_ids
from panoptic_ros.prediction import PanopticPrediction
from panoptic_ros.scores.panoptic_quality import MATCH_IOU, match_segments
from panoptic_ros.scores.segments import VOID, label_image_segments
from panoptic_ros.visualization import colorize
from panoptic_ros.whole_files import write_file

WRONG_CLASS = (213, 0, 50)
WRONG_SEGMENT = (255, 170, 0)
NOT_SCORED = (110, 110, 150)
_WIDTH = 640
_SECTION_WIDTH = 1200
# Large enough to be looked at alone, small enough for thousands of frames.
_FOLDER_WIDTH = 960
PICTURES_FOLDER = "pictures"
_KINDS = {".jpg": "image/jpeg", ".png": "image/png"}
_ENCODINGS = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 80], ".png": [cv2.IMWRITE_PNG_COMPRESSION, 9]}
SHOWN_FRAMES = 4
Rank = Literal["best", "worst"]


@dataclass(frozen=True)
class ReportFrame:
    """Hold one of the best or worst frames of a fusion strategy.

    pq: the frame's own panoptic quality, 0..1; image: uint8 [H, W, 3], RGB; truth and
    prediction: integer [H, W], class_id or class_id * 1000 + n, 0 void or unlabeled; in the
    truth a thing class's plain id is a group, a class outside the label set is void.
    """

    name: str
    fusion: str
    rank: Rank
    pq: float
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray


def extremes(quality: Mapping[str, float | None]) -> tuple[tuple[Rank, dict[str, float]], ...]:
    """Return ("best", frames, best first) and ("worst", frames, worst first): name -> quality.

    At most SHOWN_FRAMES each, no frame twice; frames without a quality are left out.
    """
    known = {name: q for name, q in quality.items() if q is not None}
    order = sorted(known, key=known.__getitem__)
    best = order[::-1][: min(SHOWN_FRAMES, -(-len(order) // 2))]
    worst = [n for n in order if n not in best][:SHOWN_FRAMES]
    return ("best", {n: known[n] for n in best}), ("worst", {n: known[n] for n in worst})


def frame_pictures(frame: ReportFrame, labels: LabelSet) -> dict[str, str]:
    """Return the data addresses of a frame's four pictures: camera, truth, prediction, error."""
    return {name: _address(*drawn) for name, drawn in _drawn(frame, labels, _WIDTH).items()}


class PictureFolder:
    """Write the pictures of every frame into a folder beside a report.

    folder: the report's own; labels: the classes of truth and predictions.
    """

    def __init__(self, folder: Path, labels: LabelSet) -> None:
        self._folder, self._labels = folder, labels

    def write(
        self, name: str, image: np.ndarray, truth: np.ndarray, predictions: Mapping[str, np.ndarray]
    ) -> dict[str, str]:
        """Write a frame's pictures; return their paths below the folder.

        image: uint8 [H, W, 3], RGB; truth, predictions: label images as in `ReportFrame`, the
        latter by strategy. Keys: camera, truth, and NAME and `NAME error` of each strategy.
        Raise OSError where one cannot be written.
        """
        written: dict[str, str] = {}
        for method, prediction in predictions.items():
            frame = ReportFrame(name, method, "best", 0.0, image, truth, prediction)
            for kind, drawn in _drawn(frame, self._labels, _FOLDER_WIDTH).items():
                key = {"prediction": method, "error": f"{method} error"}.get(kind, kind)
                if key not in written:
                    path = f"{PICTURES_FOLDER}/{name}/{key.replace(' ', '-')}{drawn[1]}"
                    write_file(self._folder / path, _encoded(*drawn))
                    written[key] = path
        return written

    def write_errors(
        self, name: str, image: np.ndarray, truth: np.ndarray, prediction: np.ndarray
    ) -> list[dict[str, Any]]:
        """Write a crop of a frame's worst segments; return what they are.

        [{"kind", "class_id", "area", "picture": path below the folder}], see `worst_errors`.
        """
        found = []
        for error in worst_errors(truth, prediction, self._labels):
            path = f"{PICTURES_FOLDER}/{name}/worst-{error.kind}.jpg"
            picture = crop(image, truth, prediction, error)
            write_file(self._folder / path, _encoded(picture, ".jpg"))
            entry = {"kind": error.kind, "class_id": error.class_id, "area": error.area}
            found.append({**entry, "picture": path})
        return found


def error_picture(frame: ReportFrame, labels: LabelSet) -> np.ndarray:
    """Return what is wrong with a prediction, uint8 [H, W, 3], RGB, over the dimmed image.

    WRONG_CLASS: the class is another than the truth's. WRONG_SEGMENT: the class is right, but
    the pixel's true and predicted segment are not a match (IoU > 0.5). NOT_SCORED: void.
    """
    gray = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY) // 2
    picture = cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
    void = ~np.isin(class_ids(frame.truth), labels.ids)
    wrong = ~void & (class_ids(frame.truth) != class_ids(frame.prediction))
    unmatched = ~void & ~wrong & ~_matched(frame, labels)
    for pixels, color in ((void, NOT_SCORED), (wrong, WRONG_CLASS), (unmatched, WRONG_SEGMENT)):
        picture[pixels] = (picture[pixels] // 2 + np.array(color) * 0.75).clip(0, 255)
    return picture


def section_picture(image: np.ndarray | Path) -> str:
    """Return the data address of a caller's picture.

    image: uint8 [H, W, 3], RGB, or the path of a picture file. Raise ValueError for another
    array or a file that is no picture, OSError for a file that cannot be read.
    """
    kind = ".png"
    if isinstance(image, Path):
        kind = ".jpg" if image.suffix == ".jpg" else kind
        try:
            found = decoded(image.read_bytes(), cv2.IMREAD_COLOR)
        except ValueError as error:
            raise ValueError(f"{image} is no picture; it {error}; give a PNG or JPEG") from error
        image = cv2.cvtColor(found, cv2.COLOR_BGR2RGB)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"a picture is {image.dtype} {list(image.shape)}, not uint8 [H, W, 3]")
    return _address(_shrunk(image, _SECTION_WIDTH, cv2.INTER_AREA), kind)


def tile(image: np.ndarray) -> str:
    """Return the data address of a small picture; image: uint8 [H, W, 3], RGB."""
    return _address(_shrunk(image, _WIDTH, cv2.INTER_AREA), ".jpg")


def _matched(frame: ReportFrame, labels: LabelSet) -> np.ndarray:
    """Return the pixels whose two segments are a match, or lie on a group, bool [H, W]."""
    pairs, truth, prediction = label_image_segments(frame.truth, frame.prediction, labels)
    matches = match_segments(pairs, truth, prediction)
    hit = matches.iou > MATCH_IOU
    ours, theirs = truth.ids[matches.rows[hit]], prediction.ids[matches.columns[hit]]
    base = 1 + int(frame.prediction.max(initial=0))
    codes = frame.truth.astype(np.int64) * base + frame.prediction
    return np.isin(codes, ours * base + theirs) | np.isin(frame.truth, truth.ids[truth.crowd])


def label_colors(label_image: np.ndarray, labels: LabelSet) -> np.ndarray:
    """Return a label image in colour; what is no class of the label set is black."""
    known = np.isin(class_ids(label_image), labels.ids)
    shown = np.where(known, label_image, VOID).astype(labels.dtype)
    return colorize(PanopticPrediction(shown), labels)


def _shrunk(image: np.ndarray, width: int, interpolation: int) -> np.ndarray:
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, (width, height), interpolation=interpolation)


def _drawn(frame: ReportFrame, labels: LabelSet, width: int) -> dict[str, tuple[np.ndarray, str]]:
    """Return a frame's four pictures, at most so wide, and what kind of file suits each."""
    flat = cv2.INTER_NEAREST
    return {
        "camera": (_shrunk(frame.image, width, cv2.INTER_AREA), ".jpg"),
        "truth": (_shrunk(label_colors(frame.truth, labels), width, flat), ".png"),
        "prediction": (_shrunk(label_colors(frame.prediction, labels), width, flat), ".png"),
        "error": (_shrunk(error_picture(frame, labels), width, cv2.INTER_AREA), ".jpg"),
    }


def _encoded(image: np.ndarray, extension: str) -> bytes:
    _, content = cv2.imencode(
        extension, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _ENCODINGS[extension]
    )
    return content.tobytes()


def _address(image: np.ndarray, extension: str) -> str:
    text = base64.b64encode(_encoded(image, extension)).decode("ascii")
    return f"data:{_KINDS[extension]};base64,{text}"
