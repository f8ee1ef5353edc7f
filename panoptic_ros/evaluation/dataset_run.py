"""Score a model on a data set: the networks once per image, every strategy on what they gave."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from panoptic_ros.datasets import Dataset, LabeledFrame, open_dataset
from panoptic_ros.datasets.coco_panoptic_writer import PanopticWriter
from panoptic_ros.evaluation.frame_scores import FrameScorer, FrameScores
from panoptic_ros.evaluation.read_ahead import LoadedFrame, load, read_ahead
from panoptic_ros.evaluation.report.frame import ReportFrame
from panoptic_ros.evaluation.results import build_results
from panoptic_ros.evaluation.run_state import RunState, fingerprint
from panoptic_ros.evaluation.timing import TimedFusions, peak_memory
from panoptic_ros.model.config import ModelConfig, load_model_config
from panoptic_ros.pipeline import PanopticPipeline

# The first frames on a device pay for libraries that load and kernels that are chosen.
WARMUP_FRAMES = 2
SHOWN_FRAMES = 4
TRUTH = "truth"


@dataclass(frozen=True)
class RunOptions:
    """Say what to score.

    dataset: a name of `datasets.DATASETS`; data: its folder; split: None for the one to
    evaluate on; weights: model name or file; fusion: strategies, none: all that the model can
    run; workers: threads that read; limit: first frames only; predictions: write label images.
    """

    dataset: str
    data: Path
    out: Path
    split: str | None = None
    weights: str = "town"
    fusion: tuple[str, ...] = ()
    device: str = "auto"
    workers: int = 2
    limit: int | None = None
    predictions: bool = False


@dataclass(frozen=True)
class RunOutcome:
    """Hold the results and the frames to show; broken: one line per frame that was skipped."""

    results: dict[str, Any]
    shown: list[ReportFrame]
    broken: list[str]


class DatasetRun:
    """Score a model on a data set, and go on from where an earlier run of the kind stopped.

    Raise FileNotFoundError where the layout of the data lacks something or weights are
    missing, ValueError for options that cannot be, RuntimeError where the device fails.
    """

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        config = load_model_config(options.weights)
        self.labels = config.labels
        self.dataset: Dataset = open_dataset(
            options.dataset, options.data, options.split, config.labels
        )
        self.pipeline = PanopticPipeline.load(options.weights, device=options.device)
        self.strategies = list(options.fusion) or _strategies(config)
        self._fusions = TimedFusions(self.pipeline, self.strategies)
        self._scorer = FrameScorer(self.labels, self.pipeline.options, self.pipeline.head)
        self._settings = self._all_settings(config)
        self._writers = self._make_writers() if options.predictions else {}

    def __call__(self) -> RunOutcome:
        """Score what is not scored yet and gather all; KeyboardInterrupt keeps what is done."""
        frames = list(self.dataset[: self.options.limit])
        with RunState(self.options.out, self._settings) as state:
            broken = self._score_missing(frames, state)
            scored = [f for f in frames if f.name in state.records]
            records = [state.records[f.name] for f in scored]
        scores = [FrameScores.from_json(r["scores"]) for r in records]
        for name, writer in self._writers.items():
            writer.finish([r["annotations"][name] for r in records])
        results = build_results(
            scores,
            self.labels,
            self.strategies,
            dataset={
                "name": self.options.dataset,
                "root": str(self.dataset.root),
                "split": self.dataset.split,
                "mapped_to_void": list(self.dataset.mapped_to_void),
                "broken": broken,
            },
            model=self._describe_model(),
            warmup_frames=WARMUP_FRAMES,
        )
        _write_json(self.options.out / "results.json", results)
        return RunOutcome(results, self._shown(scored, results), broken)

    def _score_missing(self, frames: Sequence[LabeledFrame], state: RunState) -> list[str]:
        """Score the frames that have no record; return a line per broken one."""
        missing = [f for f in frames if f.name not in state.records]
        broken, warm = [], False
        done = len(frames) - len(missing)
        with tqdm(total=len(frames), initial=done, desc="evaluating", unit="frame") as bar:
            for frame, content in read_ahead(missing, self.options.workers):
                if isinstance(content, Exception):
                    broken.append(str(content))
                    bar.write(f"broken: {content}", file=sys.stderr)
                else:
                    for _ in range(0 if warm else WARMUP_FRAMES):
                        self._fusions(content.image)
                    warm = True
                    state.add(frame.name, self._record(frame, content))
                bar.update()
        return broken

    def _record(self, frame: LabeledFrame, content: LoadedFrame) -> dict[str, Any]:
        result = self._fusions(content.image)
        scores = self._scorer(
            frame.name,
            content.truth,
            result.semantic,
            result.instances,
            result.merged,
            {"read": content.milliseconds, **result.milliseconds},
            peak_memory(self.pipeline.device),
        )
        label_images = {TRUTH: content.truth}
        label_images.update((name, p.labels) for name, p in result.merged.items())
        return {
            "scores": scores.to_json(),
            "annotations": {
                name: writer.write(frame.name, frame.image_id, label_images[name])
                for name, writer in self._writers.items()
            },
        }

    def _shown(self, frames: Sequence[LabeledFrame], results: dict[str, Any]) -> list[ReportFrame]:
        """Predict the best and the worst frames of each strategy once more, to be looked at."""
        chosen = [
            (strategy, rank, name, pq)
            for strategy in self.strategies
            for rank, group in extremes({f["name"]: f["pq"][strategy] for f in results["frames"]})
            for name, pq in group.items()
        ]
        names = {name for _, _, name, _ in chosen}
        contents = {f.name: load(f) for f in frames if f.name in names}
        bar = tqdm(contents.items(), "best and worst", unit="frame")
        merged = {name: self._fusions(content.image).merged for name, content in bar}
        return [
            ReportFrame(
                name,
                strategy,
                rank,
                pq,
                contents[name].image,
                contents[name].truth,
                merged[name][strategy].labels,
            )
            for strategy, rank, name, pq in chosen
        ]

    def _all_settings(self, config: ModelConfig) -> dict[str, Any]:
        """Return what must be the same for two runs to be one; the rest may change."""
        return {
            "dataset": self.options.dataset,
            "data": str(self.dataset.root.resolve()),
            "split": self.dataset.split,
            "weights": self.options.weights,
            "model": fingerprint(config),
            "fusion": self.strategies,
            "device": _device_name(self.pipeline.device),
            "predictions": self.options.predictions,
        }

    def _make_writers(self) -> dict[str, PanopticWriter]:
        folder = self.options.out / "predictions"
        return {n: PanopticWriter(folder, n, self.labels) for n in (TRUTH, *self.strategies)}

    def _describe_model(self) -> dict[str, Any]:
        return {
            "name": self.pipeline.name,
            "weights": self.options.weights,
            "device": _device_name(self.pipeline.device),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }


def extremes(
    quality: dict[str, float | None], count: int = SHOWN_FRAMES
) -> tuple[tuple[str, dict[str, float]], ...]:
    """Return ("best", frames, best first) and ("worst", frames, worst first): name -> quality.

    At most `count` each, no frame twice; frames without a quality are left out.
    """
    order = sorted((n for n, q in quality.items() if q is not None), key=lambda n: quality[n])
    best = order[::-1][: min(count, -(-len(order) // 2))]
    worst = [n for n in order if n not in best][:count]
    return ("best", {n: quality[n] for n in best}), ("worst", {n: quality[n] for n in worst})


def _strategies(config: ModelConfig) -> list[str]:
    """Return the strategies that a model can run."""
    return ["stack"] if config.head is None else ["stack", "conv_head"]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is either the old one or the whole new one."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
