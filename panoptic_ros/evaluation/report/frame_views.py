"""The parts of a report that show frames: first screen, gallery, table of all, worst per class."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any
from urllib.parse import quote

from panoptic_ros.evaluation.console_tables import NOTHING, percent
from panoptic_ros.evaluation.report.pictures import extremes
from panoptic_ros.evaluation.report.segment_errors import KINDS
from panoptic_ros.evaluation.report.tables import milliseconds, spread
from panoptic_ros.scores.bootstrap import FN, FP

_WORST_OF_CLASS = 3
_WORST_OF_KIND = 6
# Sorts the table of frames by a column that is clicked, and hides rows without the text typed.
SCRIPT = """
const table = document.getElementById("frames"), body = table && table.tBodies[0];
const filter = document.getElementById("filter");
if (table) {
  table.tHead.querySelectorAll("button").forEach((button, column) => {
    let falls = false;
    button.addEventListener("click", () => {
      falls = !falls;
      const cell = row => row.cells[column].textContent.trim();
      const value = row => column ? parseFloat(cell(row)) : cell(row);
      const rank = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return (x < y ? -1 : x > y ? 1 : 0) * (falls ? -1 : 1);
      };
      body.append(...[...body.rows].sort(rank));
    });
  });
  filter.addEventListener("input", () => {
    const text = filter.value.toLowerCase();
    for (const row of body.rows)
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(text);
  });
}
"""


def script_hash(script: str) -> str:
    """Return what a content security policy calls a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def summary(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first screen: {"rows": of strategies, "picture", "caption"}.

    A row: name, PQ with its interval, SQ, RQ, mIoU, milliseconds. The picture is of the frame of
    median quality, by the first strategy; None where there are no pictures.
    """
    rows = []
    totals = (results.get("timing") or {}).get("end_to_end") or {}
    for name, fusion in (results.get("fusion") or {}).items():
        panoptic = (fusion.get("panoptic") or {}).get("all") or {}
        if not panoptic.get("n"):
            continue
        interval = (fusion.get("intervals") or {}).get("pq")
        time = (totals.get(name) or {}).get("p50")
        miou = (fusion.get("semantic") or {}).get("miou")
        rows.append(
            (
                name,
                percent(panoptic["pq"]) + spread(interval),
                *(percent(panoptic[key]) for key in ("sq", "rq")),
                percent(miou),
                milliseconds(time),
            )
        )
    return {"rows": rows, **_typical(results)}


def gallery(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the best and the worst frames, the strategies side by side.

    [{"title", "about", "pictures": [(name, address)]}]; a frame is there once, whatever the
    strategies that it is best or worst of.
    """
    frames = {f["name"]: f for f in results.get("frames") or [] if f.get("pictures")}
    ranked: dict[str, str] = {}
    for strategy in results.get("fusion") or {}:
        quality = {name: _quality(frame, strategy) for name, frame in frames.items()}
        for rank, group in extremes(quality):
            for name in group:
                ranked.setdefault(name, f"{rank} of {strategy}")
    ordered = sorted(ranked, key=lambda name: not ranked[name].startswith("worst"))
    return [
        {
            "title": f"{ranked[name]}: {name}",
            "about": ", ".join(
                f"{s} PQ {percent(v)} %" for s, v in (frames[name].get("pq") or {}).items()
            ),
            "pictures": [(k, quote(p)) for k, p in frames[name]["pictures"].items()],
        }
        for name in ordered
    ]


def frame_table(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return every frame as a row: {"header", "rows": [(cells, [(name, address)])]}."""
    frames = results.get("frames") or []
    strategies = list(results.get("fusion") or {})
    if not strategies or not any(f.get("pq") for f in frames):
        return None
    has_time = any(f.get("total") for f in frames)
    header = ["frame", *(f"PQ {s}" for s in strategies)]
    header += [f"ms {s}" for s in strategies] if has_time else []
    header += ["missed", "false alarms"]
    rows = []
    for frame in frames:
        total = frame.get("total") or {}
        cells = [frame["name"], *(percent(_quality(frame, s)) for s in strategies)]
        cells += [milliseconds(total.get(s)) for s in strategies] if has_time else []
        counts = (frame.get("classes") or {}).get(strategies[0], {}).values()
        cells += [str(sum(row[at] for row in counts)) for at in (FN, FP)]
        pictures = (frame.get("pictures") or {}).items()
        rows.append((cells, [(name, quote(path)) for name, path in pictures]))
    return {"header": header, "rows": rows}


def worst_by_class(results: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the frames with most errors of each class: (class, [{"name", "about", "address"}]).

    By the first strategy; address: of its error picture, None without pictures.
    """
    strategies = list(results.get("fusion") or {})
    frames = results.get("frames") or []
    if not strategies:
        return []
    found = []
    for entry in results.get("classes") or []:
        rows = []
        for frame in frames:
            counts = (frame.get("classes") or {}).get(strategies[0], {}).get(str(entry["id"]))
            if counts and counts[FN] + counts[FP]:
                rows.append((counts[FN] + counts[FP], counts, frame))
        rows.sort(key=lambda row: -row[0])
        shown = [_error(frame, counts, strategies[0]) for _, counts, frame in rows]
        if shown:
            found.append((entry["name"], shown[:_WORST_OF_CLASS]))
    return found


def worst_segments(results: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the largest errors of each kind, of the first strategy: (kind, [error]).

    An error: {"frame", "about", "address" of its crop}.
    """
    names = {c["id"]: c["name"] for c in results.get("classes") or []}
    frames = results.get("frames") or []
    errors = [(e, f["name"]) for f in frames for e in f.get("segments") or []]
    errors.sort(key=lambda pair: -pair[0]["area"])
    found: list[tuple[str, list[dict[str, Any]]]] = []
    for kind in KINDS:
        shown = [
            {
                "frame": frame,
                "about": f"{names[error['class_id']]}, {error['area']} pixels",
                "address": quote(error["picture"]),
            }
            for error, frame in errors
            if error["kind"] == kind
        ]
        if shown:
            found.append((kind, shown[:_WORST_OF_KIND]))
    return found


def _error(frame: Mapping[str, Any], counts: Sequence[float], strategy: str) -> dict[str, Any]:
    path = (frame.get("pictures") or {}).get(f"{strategy} error")
    return {
        "name": frame["name"],
        "about": f"{counts[FN]:g} missed, {counts[FP]:g} false",
        "address": quote(path) if path else None,
    }


def _typical(results: Mapping[str, Any]) -> dict[str, Any]:
    first = next(iter(results.get("fusion") or {}), "")
    known = [
        (pq, frame)
        for frame in results.get("frames") or []
        if frame.get("pictures") and (pq := _quality(frame, first)) is not None
    ]
    if not known:
        return {"picture": None, "caption": NOTHING}
    pq, frame = sorted(known, key=itemgetter(0))[len(known) // 2]
    return {
        "picture": quote(frame["pictures"][first]),
        "caption": f"{frame['name']}, of median quality: {first}, PQ {percent(pq)} %",
    }


def _quality(frame: Mapping[str, Any], strategy: str) -> float | None:
    return (frame.get("pq") or {}).get(strategy)
