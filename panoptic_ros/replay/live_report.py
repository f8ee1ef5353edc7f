"""The report of a live replay for the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panoptic_ros.evaluation.console_tables import table


def report_text(results: Mapping[str, Any]) -> str:
    """Return what `LiveScore.results` gives as tables for the console."""
    frames = results["frames"]
    counts = table(list(frames), [[str(n) for n in frames.values()]])
    latency = results["latency_ms"]
    parts = ["Frames\n" + counts]
    if latency:
        cells = [f"{value:.1f}" for value in latency.values()]
        parts.append("Latency, image to labels, ms\n" + table(list(latency), [cells]))
    if results["panoptic"]:
        groups = [
            [name, *(f"{100 * group[key]:.1f}" for key in ("pq", "sq", "rq")), str(group["n"])]
            for name, group in ((n, results["panoptic"][n]) for n in ("all", "things", "stuff"))
        ]
        quality = table(["", "PQ %", "SQ %", "RQ %", "classes"], groups)
        miou = "-" if results["miou"] is None else f"{100 * results['miou']:.1f}"
        parts.append(f"Quality of the answered frames, mIoU {miou} %\n{quality}")
    return "\n\n".join(parts)
