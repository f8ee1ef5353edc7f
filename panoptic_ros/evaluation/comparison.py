"""Runs against each other: differences with intervals, paired over the frames that both have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_ros.datasets.coco_files import LARGEST
from panoptic_ros.documents import read_json
from panoptic_ros.evaluation.intervals import COUNTS, class_table
from panoptic_ros.scores.bootstrap import interval, means, qualities, resampled

MOST_BYTES = 1 << 31
WORST = 8
METRICS = ("pq", "sq", "rq", "miou")


@dataclass(frozen=True)
class Run:
    """Hold one run's results.json; method: the strategy that is compared; label: its folder's."""

    folder: Path
    results: Mapping[str, Any]
    method: str
    label: str

    @property
    def name(self) -> str:
        """Its folder's name, and the method where that says more."""
        return self.label if len(self.results["fusion"]) == 1 else f"{self.label}: {self.method}"

    def frames(self) -> dict[str, Mapping[str, Any]]:
        """Return the frames by name."""
        return {frame["name"]: frame for frame in self.results["frames"]}


def open_runs(folders: Sequence[Path], fusion: str | None = None) -> list[Run]:
    """Read the runs' results.json.

    folders: that hold it, or paths of such files. fusion: strategy to compare; None: the first
    that all of them have, or each run's only one. A single folder with several strategies is
    compared with itself, strategy by strategy.
    Raise FileNotFoundError, and ValueError that names the file for one that is none of such, for
    classes that differ and for a strategy that is missing.
    """
    contents = [(f.parent if f.is_file() else f, _content(f)) for f in folders]
    labels = _labels([folder for folder, _ in contents])
    if len(contents) == 1:
        folder, content = contents[0]
        if fusion:
            raise ValueError(
                f"--fusion {fusion}: {folder} is compared with itself, strategy by strategy; name "
                "another run to compare it with"
            )
        if len(content["fusion"]) < 2:
            raise ValueError(
                f"{folder} has one strategy alone; name another run to compare it with"
            )
        return [Run(folder, content, method, labels[0]) for method in content["fusion"]]
    common = [m for m in contents[0][1]["fusion"] if all(m in c["fusion"] for _, c in contents)]
    runs = []
    for (folder, content), label in zip(contents, labels, strict=True):
        known = list(content["fusion"])
        method = fusion or (common[0] if common else known[0])
        if method not in known or (not common and len(known) > 1):
            raise ValueError(
                f"{folder} has the strategies {', '.join(known)}; choose one that all runs have "
                "by --fusion"
            )
        runs.append(Run(folder, content, method, label))
    _check_classes(runs)
    return runs


def _labels(folders: Sequence[Path]) -> list[str]:
    """Return the folders' names, with as many of those above as tell them apart."""
    paths = [folder.resolve() for folder in folders]
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(set(paths)):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in paths]


def compare(runs: Sequence[Run]) -> dict[str, Any]:
    """Compare each run with the first.

    {"baseline": name, "frames", "runs": [{"name", "frames": of both, "only_here", "only_there":
    counts, "pq", "sq", "rq", "miou": {"baseline", "run", "difference", "interval"}, "per_class":
    {class id: {"name", "pq", "iou": the same}}, "worst": [{"name", "baseline", "run"}]}]}, as
    fractions, None where not known; worst: the frames whose PQ fell most.
    Raise ValueError where a run has no frame of the first.
    """
    first = runs[0]
    return {
        "baseline": first.name,
        "frames": len(first.results["frames"]),
        "runs": [_compare(first, run) for run in runs[1:]],
    }


def below(comparison: Mapping[str, Any], limits: Mapping[str, float]) -> list[str]:
    """Return a line for each difference that is lower than its limit, in percentage points.

    limits: by metric (pq, sq, rq, miou), or metric.CLASS for the pq and iou of one class.
    Raise ValueError for a name that is none of these, or of which nothing is known.
    """
    lines = []
    for run in comparison["runs"]:
        for name, limit in limits.items():
            difference = _figure(run, name)["difference"]
            if difference is None:
                raise ValueError(f"{name} is not known of {run['name']}, so it has no limit")
            if 100 * difference < limit:
                lines.append(f"{run['name']}: {name} {100 * difference:+.2f}, limit {limit:+g}")
    return lines


def _figure(run: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    metric, _, class_name = name.partition(".")
    if not class_name:
        if metric not in METRICS:
            raise ValueError(f"unknown metric {name!r}; known: {', '.join(METRICS)}, pq.CLASS")
        return run[metric]
    for entry in run["per_class"].values():
        if entry["name"] == class_name and metric in ("pq", "iou"):
            return entry[metric]
    raise ValueError(f"unknown metric {name!r}; of a class it is pq.NAME or iou.NAME")


def _compare(first: Run, run: Run) -> dict[str, Any]:
    before, after = first.frames(), run.frames()
    names = [name for name in before if name in after]
    if not names:
        raise ValueError(f"{run.folder} has no frame of {first.folder}")
    ids = [c["id"] for c in first.results["classes"]]
    tables = [
        class_table([f[n]["classes"][r.method] for n in names], ids)
        for f, r in ((before, first), (after, run))
    ]
    values = [qualities(table.sum(axis=0)) for table in tables]
    drawn = [qualities(resampled(table)) for table in tables]
    totals, drawn_totals = [means(v) for v in values], [means(d) for d in drawn]
    return {
        "name": run.name,
        "folder": str(run.folder),
        "frames": len(names),
        "only_here": len(after) - len(names),
        "only_there": len(before) - len(names),
        **{m: _difference(*(t[m] for t in totals), *(d[m] for d in drawn_totals)) for m in METRICS},
        "per_class": {
            str(class_id): {
                "name": entry["name"],
                **{
                    m: _difference(*(v[m][i] for v in values), *(d[m][:, i] for d in drawn))
                    for m in ("pq", "iou")
                },
            }
            for i, (class_id, entry) in enumerate(zip(ids, first.results["classes"], strict=True))
        },
        "worst": _worst(first, run, names),
    }


def _difference(
    before: np.ndarray, after: np.ndarray, drawn_before: np.ndarray, drawn_after: np.ndarray
) -> dict[str, Any]:
    known = not (np.isnan(before) or np.isnan(after))
    return {
        "baseline": None if np.isnan(before) else float(before),
        "run": None if np.isnan(after) else float(after),
        "difference": float(after - before) if known else None,
        "interval": interval(drawn_after - drawn_before) if known else None,
    }


def _worst(first: Run, run: Run, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the frames whose own PQ fell most, worst first."""
    before, after = first.frames(), run.frames()
    rows = []
    for name in names:
        pair = before[name]["pq"].get(first.method), after[name]["pq"].get(run.method)
        if None not in pair and pair[1] < pair[0]:
            rows.append({"name": name, "baseline": pair[0], "run": pair[1]})
    return sorted(rows, key=lambda row: row["run"] - row["baseline"])[:WORST]


def _content(folder: Path) -> dict[str, Any]:
    path = folder / "results.json" if folder.is_dir() else folder
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; a run is a folder that `evaluate` wrote (--out)"
        )
    content = read_json(path, MOST_BYTES)
    try:
        frames, classes = content["frames"], content["classes"]
        for c in classes:
            if not isinstance(c["id"], int) or not isinstance(c["name"], str):
                raise ValueError(f"class {c['id']!r}, {c['name']!r}: no number and name")
        ids = {str(c["id"]) for c in classes}
        for frame in frames:
            _check_frame(frame, content["fusion"], ids)
        if not content["frames"] or not content["fusion"]:
            raise ValueError("it has no frame")
        names = Counter(frame["name"] for frame in frames)
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"frame {twice[0]} is there twice")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        words = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{path}: {words}; give a run of `evaluate --dataset` or `evaluate files` of this "
            "version"
        ) from error
    return content


def _check_frame(frame: Mapping[str, Any], methods: Iterable[str], ids: Collection[str]) -> None:
    """Raise ValueError, KeyError, TypeError or AttributeError for other figures than a run's."""
    name = frame["name"]
    if not isinstance(name, str):
        raise ValueError(f"a frame's name is {name!r}, no text")
    for method in methods:
        quality = frame["pq"].get(method)
        if quality is not None and not _is_figure(quality):
            raise ValueError(f"frame {name}: its pq is {str(quality)[:40]!r}, no number")
        for class_id, row in frame["classes"][method].items():
            is_known = class_id in ids and len(row) == len(COUNTS)
            if not is_known or not all(_is_figure(value) for value in row):
                raise ValueError(f"frame {name}: class {class_id} has the figures {row!r}")


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= LARGEST


def _check_classes(runs: Sequence[Run]) -> None:
    known = [(c["id"], c["name"]) for c in runs[0].results["classes"]]
    for run in runs[1:]:
        other = [(c["id"], c["name"]) for c in run.results["classes"]]
        if sorted(other) != sorted(known):
            strange = sorted(set(other) ^ set(known))[:3]
            raise ValueError(
                f"{run.folder} has other classes than {runs[0].folder}, e.g. {strange}; "
                "they cannot be compared"
            )
