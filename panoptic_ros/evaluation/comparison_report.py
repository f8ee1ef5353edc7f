"""A comparison of runs for people: tables on the console, and a page with the worst frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from panoptic_ros.datasets.picture_files import read_picture
from panoptic_ros.evaluation.comparison import METRICS, Run
from panoptic_ros.evaluation.console_tables import NOTHING, percent, table
from panoptic_ros.evaluation.report.page import write_report
from panoptic_ros.evaluation.run_facts import run_facts
from panoptic_ros.whole_files import write_file

_HEADER = ("", "baseline %", "run %", "difference", "95 % interval")
_HEIGHT = 300
_GAP = 6


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """Return what `compare` gives as text: the means, then the classes, largest losses first."""
    parts = []
    for run in comparison["runs"]:
        parts.append(f"{run['name']} against {comparison['baseline']}: {_frames(run)}")
        parts.append(table(_HEADER, _mean_rows(run)))
        parts.append(table(_HEADER, _class_rows(run)))
    return "\n\n".join(parts)


def write_comparison(comparison: Mapping[str, Any], runs: Sequence[Run], path: Path) -> None:
    """Write a page with the tables, and the worst regressions side by side, also in `worst/`.

    A picture: the camera's, the truth, what was wrong before and what is wrong now. Runs without
    pictures have none. Raise OSError where it cannot be written.
    """
    stems = [f"{run.folder.name}_{run.method}" for run in runs[1:]]
    # Folders of one name may lie in different places.
    names = [f"{s}_{i}" if s in stems[:i] else s for i, s in enumerate(stems)]
    sections = [
        {
            "title": f"{entry['name']} against {comparison['baseline']}",
            "text": _frames(entry),
            "tables": [
                {"caption": "Means", "header": _HEADER, "rows": _mean_rows(entry)},
                {"caption": "Classes", "header": _HEADER, "rows": _class_rows(entry)},
            ],
            "pictures": [
                {"caption": caption, "image": image}
                for caption, image in _pictures(runs[0], run, entry, path.parent / "worst" / name)
            ],
        }
        for run, entry, name in zip(runs[1:], comparison["runs"], names, strict=True)
    ]
    title = f"Comparison with {comparison['baseline']}"
    write_report({"title": title, "run": run_facts(), "sections": sections}, [], path)


def _frames(run: Mapping[str, Any]) -> str:
    apart = [
        f"{run[key]} frames of the {side} alone are left out"
        for key, side in (("only_there", "baseline"), ("only_here", "run"))
        if run[key]
    ]
    return "; ".join([f"{run['frames']} frames of both", *apart])


def _mean_rows(run: Mapping[str, Any]) -> list[list[str]]:
    return [["mIoU" if name == "miou" else name.upper(), *_cells(run[name])] for name in METRICS]


def _class_rows(run: Mapping[str, Any]) -> list[list[str]]:
    """Return PQ of the classes that occur in either run, largest losses first."""
    sides = ("baseline", "run")
    known = [e for e in run["per_class"].values() if any(e["pq"][s] is not None for s in sides)]
    known.sort(key=lambda e: (e["pq"]["difference"] is None, e["pq"]["difference"] or 0))
    return [[f"PQ {entry['name']}", *_cells(entry["pq"])] for entry in known]


def _cells(figure: Mapping[str, Any]) -> list[str]:
    found = figure["interval"]
    return [
        *(percent(figure[key]) for key in ("baseline", "run")),
        NOTHING if figure["difference"] is None else f"{100 * figure['difference']:+.2f}",
        f"{100 * found[0]:+.2f} to {100 * found[1]:+.2f}" if found else NOTHING,
    ]


def _pictures(first: Run, run: Run, entry: Mapping[str, Any], stem: Path) -> list[tuple[str, Path]]:
    """Write the worst regressions into STEM_0.jpg and so on; return captions and files."""
    before, after = first.frames(), run.frames()
    found: list[tuple[str, Path]] = []
    for row in entry["worst"]:
        name = row["name"]
        parts = [
            _picture(first, before[name], "camera"),
            _picture(first, before[name], "truth"),
            _picture(first, before[name], f"{first.method} error"),
            _picture(run, after[name], f"{run.method} error"),
        ]
        shown = [part for part in parts if part is not None]
        if len(shown) == len(parts):
            caption = (
                f"{name}: PQ {100 * row['baseline']:.1f} to {100 * row['run']:.1f} %; "
                "camera, truth, errors of the baseline, errors of the run"
            )
            file = stem.with_name(f"{stem.name}_{len(found)}.jpg")
            picture = cv2.cvtColor(_side_by_side(shown), cv2.COLOR_RGB2BGR)
            write_file(file, cv2.imencode(".jpg", picture)[1].tobytes())
            found.append((caption, file))
    return found


def _picture(run: Run, frame: Mapping[str, Any], kind: str) -> np.ndarray | None:
    path = (frame.get("pictures") or {}).get(kind)
    if not path:
        return None
    try:
        return read_picture(run.folder / path)
    except (OSError, ValueError):
        return None  # a page can do without


def _side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures of one height in two rows of two, uint8 [H, W, 3], RGB."""
    height, width = pictures[0].shape[:2]
    size = max(1, round(width * _HEIGHT / height)), _HEIGHT
    small = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in pictures]
    padded = [np.pad(p, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255) for p in small]
    rows = [np.concatenate(padded[i : i + 2], axis=1) for i in range(0, len(padded), 2)]
    return np.concatenate(rows)[:-_GAP, :-_GAP]
