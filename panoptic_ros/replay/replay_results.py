"""From a replay's outcome to results.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from panoptic_ros.evaluation.results import VERSION, build_results
from panoptic_ros.evaluation.timing import peak_memory, statistics
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.replay.offline import ReplayOutcome


def replay_results(
    outcome: ReplayOutcome, pipeline: PanopticPipeline, bag: Path, topic: str | None
) -> dict[str, Any]:
    """Return the content of results.json: that of an evaluation, as far as there is a truth.

    Two more keys: `replay` (bag, topic, frames, answered, refused, scored, interrupted,
    problems, notes) and `timeline` (see docs/replay.md).
    """
    answered = [e["milliseconds"] for e in outcome.timeline if "refused" not in e]
    dataset = {"name": "bag", "root": str(bag), "split": topic or "", "mapped_to_void": []}
    dataset["broken"] = outcome.problems
    model = {
        "name": pipeline.name,
        "device": str(pipeline.device),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    fusion = pipeline.fusion_name
    if outcome.scores:
        results = build_results(
            outcome.scores, pipeline.labels, [fusion], dataset=dataset, model=model, warmup_frames=0
        )
    else:
        results = {
            "version": VERSION,
            "label_set": pipeline.labels.name,
            "dataset": {**dataset, "frames": len(answered)},
            "model": model,
            "timing": {
                "warmup_frames": 0,
                "frames": len(answered),
                "stages": {},
                "end_to_end": {fusion: statistics(answered)},
                "peak_memory_mib": peak_memory(pipeline.device),
            },
        }
    results["replay"] = {
        "bag": str(bag),
        "topic": topic,
        "frames": len(outcome.timeline),
        "answered": len(answered),
        "refused": len(outcome.timeline) - len(answered),
        "scored": len(outcome.scores),
        "interrupted": bool(outcome.signal),
        "problems": outcome.problems,
        "notes": outcome.notes,
    }
    results["timeline"] = outcome.timeline
    return results
