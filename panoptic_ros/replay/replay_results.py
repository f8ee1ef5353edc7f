"""From a replay's outcome to results.json, scores.jsonl and report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from panoptic_ros.evaluation.frame_scores import FrameScores
from panoptic_ros.evaluation.report.page import write_report
from panoptic_ros.evaluation.results import VERSION, build_results
from panoptic_ros.evaluation.timing import peak_memory, statistics
from panoptic_ros.labels import LabelSet
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.replay.offline import BAG, ReplayOutcome
from panoptic_ros.scores.track_accuracy import TrackScore
from panoptic_ros.scores.video_quality import VideoQuality
from panoptic_ros.whole_files import write_file, write_json

RESULTS, REPORT, SCORES = "results.json", "report.html", "scores.jsonl"
# All that a replay leaves in its folder.
WRITTEN = (BAG, SCORES, REPORT, RESULTS)


def replay_results(
    outcome: ReplayOutcome,
    labels: LabelSet,
    fusion: str,
    *,
    dataset: Mapping[str, Any],
    model: Mapping[str, Any],
    peak_mib: Mapping[str, float | None],
) -> dict[str, Any]:
    """Return the content of results.json: that of an evaluation, as far as there is a truth.

    dataset: name, root and split; model: what ran, name and device at least; peak_mib: where
    frames do not tell. More keys: `video` (`VideoQuality.results`), `tracks`
    (`TrackScore.results`), `replay` (topic, frames, answered, refused, scored, interrupted,
    problems, notes) and `timeline` (see docs/replay.md).
    """
    answered = [e["milliseconds"] for e in outcome.timeline if "refused" not in e]
    dataset = {**dataset, "mapped_to_void": [], "broken": outcome.problems}
    if outcome.scores:
        results = build_results(
            outcome.scores, labels, [fusion], dataset=dataset, model=dict(model), warmup_frames=0
        )
        video = VideoQuality(labels)
        video.add_counts(outcome.video)
        results["video"] = video.results()
        if outcome.tracks:
            tracks = TrackScore(labels)
            tracks.add_counts(outcome.tracks)
            results["tracks"] = tracks.results()
    else:
        results = {
            "version": VERSION,
            "label_set": labels.name,
            "dataset": {**dataset, "frames": len(answered)},
            "model": dict(model),
            "timing": {
                "warmup_frames": 0,
                "frames": len(answered),
                "stages": {},
                "end_to_end": {fusion: statistics(answered)},
                "peak_memory_mib": dict(peak_mib),
            },
        }
    results["replay"] = {
        "bag": dataset["root"],
        "topic": dataset["split"] or None,
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


def write_replay(
    outcome: ReplayOutcome,
    pipeline: PanopticPipeline,
    bag: Path,
    topic: str | None,
    out: Path,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write what a replay leaves beside its bag; return the content of results.json.

    facts: more to keep in `replay`. results.json comes last: where it is, all is there. Raise
    OSError where a file cannot be written.
    """
    results = replay_results(
        outcome,
        pipeline.labels,
        pipeline.fusion_name,
        dataset={"name": "bag", "root": str(bag), "split": topic or ""},
        model={
            "name": pipeline.name,
            "device": str(pipeline.device),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        },
        peak_mib=peak_memory(pipeline.device),
    )
    results["replay"] |= dict(facts or {})
    if outcome.scores:
        drive = {"video": outcome.video, "tracks": outcome.tracks}
        entries = [drive, *(s.to_json() for s in outcome.scores)]
        lines = (json.dumps(entry, separators=(",", ":")) for entry in entries)
        write_file(out / SCORES, "".join(f"{line}\n" for line in lines))
    write_report({"title": f"Replay of {bag}", **results}, outcome.shown, out / REPORT)
    write_json(out / RESULTS, results)
    return results


def read_scores(folder: Path) -> tuple[list[FrameScores], dict[str, Any], list[Any]]:
    """Return what `ReplayOutcome` has as scores, video and tracks, nothing without a truth.

    Raise ValueError that names the file where it is none of this version.
    """
    file = folder / SCORES
    if not file.exists():
        return [], {}, []
    try:
        first, *others = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        scores = [FrameScores.from_json(entry) for entry in others]
        return scores, dict(first["video"]), list(first["tracks"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file} holds no scores of a replay ({error}); delete {folder}"
        ) from error
