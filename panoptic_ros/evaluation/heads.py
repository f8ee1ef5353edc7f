"""The heuristic against the Convolutional Panoptic Head: a view on an evaluation's results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panoptic_ros.evaluation.console_tables import number, table

HEURISTIC, HEAD = "heuristic", "head"
# What the report calls the two -> the strategies that are the same methods.
STRATEGIES = {HEURISTIC: "stack", HEAD: "conv_head"}


def compare_heads(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return quality in percent, None where nothing was seen.

    results: what `build_results` gives for both strategies. {"classes": {name: {"heuristic",
    "head", "instances"}}, "mean": the same over the classes with instances, "pq": {"heuristic",
    "head"}, "miou"}.
    """
    fusion = {name: results["fusion"][strategy] for name, strategy in STRATEGIES.items()}
    iou = {name: entry["instance_iou"] for name, entry in fusion.items()}
    counts = {i: entry["instances"] for i, entry in iou[HEURISTIC]["classes"].items()}
    return {
        "classes": {
            c["name"]: {n: _percent(by["classes"][str(c["id"])]["iou"]) for n, by in iou.items()}
            | {"instances": counts[str(c["id"])]}
            for c in results["classes"]
            if c["is_thing"]
        },
        "mean": {name: _percent(by["mean"]) for name, by in iou.items()}
        | {"instances": sum(counts.values())},
        "pq": {name: _percent(entry["panoptic"]["all"]["pq"]) for name, entry in fusion.items()},
        "miou": _percent(results["semantic"]["miou"]),
    }


def head_table(comparison: Mapping[str, Any]) -> str:
    """Return what `compare_heads` gives as text, in the form of the report's Table 1."""
    rows = [
        [name, number(row[HEURISTIC]), number(row[HEAD]), str(row["instances"])]
        for name, row in [*comparison["classes"].items(), ("mean", comparison["mean"])]
    ]
    pq = comparison["pq"]
    return "\n".join(
        [
            table(["IoU of instances, %", HEURISTIC, HEAD, "instances"], rows),
            "",
            table(["", HEURISTIC, HEAD], [["PQ, %", number(pq[HEURISTIC]), number(pq[HEAD])]]),
            f"semantic mIoU, %: {number(comparison['miou'])}",
        ]
    )


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction
