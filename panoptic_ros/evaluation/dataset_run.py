"""Score a model on a data set: run the networks once per image, then every merging strategy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from zlib import crc32

import numpy as np
import torch
from tqdm import tqdm

from panoptic_ros.datasets import Dataset, LabeledFrame, Sample, Town, open_dataset
from panoptic_ros.datasets.coco_panoptic_writer import PanopticWriter
from panoptic_ros.datasets.exports import Export, make_export
from panoptic_ros.distributed import Report, Workers, run_jobs
from panoptic_ros.evaluation.frame_scores import FrameScorer, FrameScores
from panoptic_ros.evaluation.read_ahead import LoadedFrame, read_ahead
from panoptic_ros.evaluation.report.pictures import PictureFolder
from panoptic_ros.evaluation.results import build_results, frame_pq
from panoptic_ros.evaluation.run_facts import run_facts
from panoptic_ros.evaluation.run_state import RunState, fingerprint
from panoptic_ros.evaluation.timing import peak_memory, timed
from panoptic_ros.fusion import HEADS, make_strategy, possible
from panoptic_ros.model.config import ModelConfig, load_model_config
from panoptic_ros.pipeline import ImageUnfit, Inference, PanopticPipeline
from panoptic_ros.prediction import NonFinitePrediction, PanopticPrediction
from panoptic_ros.whole_files import write_json

if TYPE_CHECKING:
    from panoptic_ros.rerun_log import RerunLog

# The first frames on a device pay for libraries that load and kernels that are chosen.
WARMUP_FRAMES = 2
TRUTH = "truth"
# Counts the changes of what a frame's record holds.
RECORDS = 6
# A shard's frames are lost where its worker dies, and the last shards keep few workers busy.
_MOST_OF_SHARD = 50
_SHARDS_PER_WORKER = 8
Record: TypeAlias = dict[str, Any]
# In place of strategies: every one that the model can run.
ALL = "all"


@dataclass(frozen=True)
class RunOptions:
    """Say what to score.

    dataset: a name of `datasets.DATASETS`; data: its folder; split: None for the one to
    evaluate on; names: of the only frames to score, in their order, none: all; weights: model
    name or file; fusion: strategies, `all` alone: all that the model can run, none: stack, and
    what the model's head is for; workers: threads that read; limit: first frames only;
    predictions: write label images; export: formats of `datasets.exports` to write;
    boundary: give boundary PQ, too.
    """

    dataset: str
    data: Path
    out: Path
    split: str | None = None
    names: tuple[str, ...] = ()
    weights: str = "town"
    fusion: tuple[str, ...] = ()
    device: str = "auto"
    workers: int = 2
    limit: int | None = None
    predictions: bool = False
    export: tuple[str, ...] = ()
    boundary: bool = False


@dataclass(frozen=True)
class RunOutcome:
    """Hold the results; broken: one line per frame that was skipped."""

    results: dict[str, Any]
    broken: list[str]


@dataclass(frozen=True)
class Shard:
    """Hold what a worker found: per frame its record, or why it is broken; and its model."""

    answers: dict[str, Record | str]
    model: dict[str, Any]


@dataclass(frozen=True)
class ShardScorer:
    """Load a model and a data set once and score shards of its frames; a `Loader`."""

    options: RunOptions

    def __call__(self) -> Callable[[Sequence[str], Report], Shard]:
        """Return a function of frames' names."""
        return DatasetRun(self.options).score_shard


class DatasetRun:
    """Score a model on a data set, resuming an earlier run with the same settings.

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
        can_run = possible(self.pipeline.head)
        # Without a choice: stack, and what the model's head is for.
        self.strategies = list(options.fusion) or ["stack", *(n for n in can_run if n in HEADS)]
        if self.strategies == [ALL]:
            self.strategies = can_run
        for name in self.strategies:
            # An unknown one, or one that lacks its head, is told before a frame is read.
            make_strategy(name, self.pipeline.head)
        self._scorer = FrameScorer(self.labels, self.pipeline.options, options.boundary)
        self._pictures = PictureFolder(options.out, self.labels)
        self._log: RerunLog | None = None
        self._warmup_left = WARMUP_FRAMES
        self._described: dict[str, Any] = {}
        self._settings = self._all_settings(config)
        written = (TRUTH, *self.strategies) if options.predictions else ()
        self._writers = {
            n: PanopticWriter(options.out / "predictions", n, self.labels) for n in written
        }
        self._exports: dict[str, tuple[str, Export]] = {
            f"{kind}/{name}": (name, make_export(kind, options.out / "exports", name, self.labels))
            for kind in options.export
            for name in self.strategies
        }

    def __call__(
        self, workers: Workers | None = None, count: int = 1, log: RerunLog | None = None
    ) -> RunOutcome:
        """Score what is not scored yet and gather all; KeyboardInterrupt keeps what is done.

        workers: of a `ShardScorer`, so many at once; None scores in this process. log: where
        what is scored here is recorded, with the labels of the last strategy.
        """
        self._log = log
        frames = self._frames()
        if workers:
            self._settings["device"] = f"{self.options.device}, on workers"
        with RunState(self.options.out, self._settings) as state:
            _drop_changed(frames, state.records)
            missing = [f for f in frames if f.name not in state.records]
            scored = self._on_workers(missing, workers, count) if workers else self._here(missing)
            broken = self._keep(frames, scored, state)
            records = [state.records[f.name] for f in frames if f.name in state.records]
        scores = [FrameScores.from_json(r["scores"]) for r in records]
        for name, writer in self._writers.items():
            writer.finish([r["annotations"][name] for r in records])
        for place, (_, export) in self._exports.items():
            export.finish([r["exports"][place] for r in records])
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
            model=self._described or self._describe_model(),
            warmup_frames=WARMUP_FRAMES,
        )
        results["run"] = run_facts()
        for entry, record in zip(results["frames"], records, strict=True):
            entry["pictures"], entry["segments"] = record["pictures"], record["segments"]
        write_json(self.options.out / "results.json", results)
        return RunOutcome(results, broken)

    def score_shard(self, names: Sequence[str], report: Report) -> Shard:
        """Score some frames as a worker does."""
        wanted = set(names)
        frames = [frame for frame in self._frames() if frame.name in wanted]
        answers = {}
        for name, answer in self._here(frames):
            answers[name] = answer
            report(len(answers), len(frames))
        return Shard(answers, self._describe_model())

    def _frames(self) -> list[LabeledFrame]:
        frames: list[LabeledFrame] = list(self.dataset)
        if self.options.names:
            by_name = {frame.name: frame for frame in frames}
            frames = [by_name[name] for name in self.options.names]
        return frames[: self.options.limit]

    def _keep(
        self,
        frames: Sequence[LabeledFrame],
        scored: Iterable[tuple[str, Record | str]],
        state: RunState,
    ) -> list[str]:
        """Keep the records of frames that are scored; return a line per broken one."""
        broken = {}
        done = sum(frame.name in state.records for frame in frames)
        with tqdm(total=len(frames), initial=done, desc="evaluating", unit="frame") as bar:
            for name, answer in scored:
                if isinstance(answer, str):
                    broken[name] = answer
                    bar.write(f"broken: {answer}", file=sys.stderr)
                else:
                    state.add(name, answer)
                bar.update()
        return [broken[frame.name] for frame in frames if frame.name in broken]

    def _here(self, frames: Sequence[LabeledFrame]) -> Iterator[tuple[str, Record | str]]:
        """Yield each frame's record, or why it cannot be scored."""
        for frame, content in read_ahead(frames, self.options.workers):
            yield frame.name, self._score(frame, content)

    def _on_workers(
        self, frames: Sequence[LabeledFrame], workers: Workers, count: int
    ) -> Iterator[tuple[str, Record | str]]:
        """Yield as `_here`, whatever shard is done first."""
        size = max(1, min(_MOST_OF_SHARD, len(frames) // (count * _SHARDS_PER_WORKER)))
        names = [frame.name for frame in frames]
        shards = {names[i]: names[i : i + size] for i in range(0, len(names), size)}
        for event in run_jobs(workers, count, shards):
            if event.kind == "done":
                self._described = event.content.model
                yield from event.content.answers.items()
            elif event.kind == "failed":
                for name in shards[event.of]:
                    yield name, f"{name}: {event.content}"

    def _score(self, frame: LabeledFrame, content: LoadedFrame | Exception) -> Record | str:
        """Return a frame's record, or why it cannot be scored."""
        if isinstance(content, Exception):
            return str(content)
        try:
            while self._warmup_left:
                timed(self.pipeline, content.image, self.strategies)
                self._warmup_left -= 1
            predicted = timed(self.pipeline, content.image, self.strategies)
        except (ImageUnfit, NonFinitePrediction) as error:
            return f"{frame.image}: {error}"
        try:
            depth = self._depth(frame, content.truth.shape)
        except (OSError, ValueError) as error:
            return str(error)
        return self._record(frame, content, depth, *predicted)

    def _depth(self, frame: LabeledFrame, size: tuple[int, ...]) -> np.ndarray | None:
        """Return a frame's depth, float32 [H, W], metres; None of a data set without."""
        if not isinstance(self.dataset, Town):
            return None
        try:
            depth = self.dataset.depth(cast(Sample, frame))
        except FileNotFoundError:
            return None
        if depth.shape != size:
            raise ValueError(
                f"{frame.name}: its depth is {list(depth.shape)} (rows, columns), the truth "
                f"{list(size)}"
            )
        return depth

    def _record(
        self,
        frame: LabeledFrame,
        content: LoadedFrame,
        depth: np.ndarray | None,
        inference: Inference,
        merged: Mapping[str, PanopticPrediction],
        milliseconds: Mapping[str, float],
    ) -> Record:
        scores = self._scorer(
            frame.name,
            content.truth,
            inference,
            merged,
            {"read": content.milliseconds, **milliseconds},
            peak_memory(self.pipeline.device),
            depth,
        )
        if self._log is not None:
            shown = self.strategies[-1]
            self._log.start()
            self._log.add_picture(content.image, merged[shown], truth=content.truth)
            self._log.add_figures(milliseconds, frame_pq(scores, shown, self.labels))
        predictions = {name: p.labels for name, p in merged.items()}
        label_images = {TRUTH: content.truth, **predictions}
        return {
            "files": _files(frame),
            "scores": scores.to_json(),
            "pictures": self._pictures.write(frame.name, content.image, content.truth, predictions),
            "segments": self._pictures.write_errors(
                frame.name, content.image, content.truth, predictions[self.strategies[0]]
            ),
            "annotations": {
                name: writer.write(frame.name, frame.image_id, label_images[name])
                for name, writer in self._writers.items()
            },
            "exports": {
                place: export.write(frame.name, frame.image_id, merged[name])
                for place, (name, export) in self._exports.items()
            },
        }

    def _all_settings(self, config: ModelConfig) -> dict[str, Any]:
        """Return what must be the same for two runs to be one; the rest may change."""
        return {
            "dataset": self.options.dataset,
            "data": str(self.dataset.root.resolve()),
            "split": self.dataset.split,
            "names": list(self.options.names),
            "weights": self.options.weights,
            "model": fingerprint(config),
            "fusion": self.strategies,
            "device": _device_name(self.pipeline.device),
            "predictions": self.options.predictions,
            "export": list(self.options.export),
            "boundary": self.options.boundary,
            "records": RECORDS,
        }

    def _describe_model(self) -> dict[str, Any]:
        return {
            "name": self.pipeline.name,
            "weights": self.options.weights,
            "device": _device_name(self.pipeline.device),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }


def _drop_changed(frames: Sequence[LabeledFrame], records: dict[str, Record]) -> None:
    """Drop the records of frames whose files have changed since, and say how many on stderr.

    What an earlier version has kept does not know its files.
    """
    known = [frame for frame in frames if "files" in records.get(frame.name, {})]
    changed = [frame for frame in known if records[frame.name]["files"] != _files(frame)]
    for frame in changed:
        del records[frame.name]
    if changed:
        print(
            f"{len(changed)} frames have changed since they were scored, and are scored anew (the "
            f"first: {changed[0].name})",
            file=sys.stderr,
        )


def _files(frame: LabeledFrame) -> list[Any]:
    """Return what tells a frame's image and truth from others of their names, as JSON holds it."""
    states = [file.stat() for file in (frame.image, frame.instance_ids)]
    # A COCO-panoptic file says what the segments are.
    listed = repr(getattr(frame, "annotation", None)).encode(errors="backslashreplace")
    return [*([state.st_size, state.st_mtime_ns] for state in states), crc32(listed)]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
