"""Compare systems on one data set: the report's Tables 2 and 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_ros.datasets import LabeledFrame, open_dataset
from panoptic_ros.documents import named
from panoptic_ros.evaluation.dataset_run import DatasetRun, RunOptions
from panoptic_ros.evaluation.read_ahead import load
from panoptic_ros.evaluation.run_state import weight_files
from panoptic_ros.evaluation.systems_cost import gflops, parameters, time_in_turns
from panoptic_ros.model.build import is_onnx
from panoptic_ros.model.config import ModelConfig, load_model_config
from panoptic_ros.model.engines import EAGER, named_or_default
from panoptic_ros.pipeline import PanopticPipeline, torch_device
from panoptic_ros.resources import share_dir
from panoptic_ros.whole_files import write_json

# In the order of the table: two networks, the shared ones, then the related systems.
SYSTEMS = ("town", "town_shared", "town_fast", "panoptic_fpn", "upsnet", "degeus", "oanet", "aunet")
RESULTS = "systems.json"
# Frames on which all systems are timed, in turns; the first of them on which operations count.
TIMED_FRAMES = 20
COUNTED_FRAMES = 2
SHOWN_FRAMES = 4


@dataclass(frozen=True)
class CompareOptions:
    """Say what to compare.

    dataset, data, split, device, workers, limit: as in `RunOptions`; systems: names (files of
    config/systems, then of config/models) or model files.
    """

    data: Path
    out: Path
    systems: tuple[str, ...] = SYSTEMS
    dataset: str = "town"
    split: str | None = None
    device: str = "auto"
    workers: int = 2
    limit: int | None = None


@dataclass(frozen=True)
class ShownFrame:
    """Hold a frame for the page: image and label images, the truth and each system's."""

    name: str
    image: np.ndarray
    truth: np.ndarray
    labels: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class SystemsOutcome:
    """Hold the content of systems.json, the frames to show, and a line per broken frame."""

    results: dict[str, Any]
    shown: list[ShownFrame]
    broken: list[str]


class SystemsRun:
    """Compare systems, going on where an earlier run stopped.

    skipped: name -> what is missing, of the systems without weights. Raise FileNotFoundError
    where none has weights, and for a name that is no system; ValueError for a name twice;
    others as `DatasetRun`.
    """

    def __init__(self, options: CompareOptions) -> None:
        self.options = options
        models = _models(options.systems)
        configs = {name: load_model_config(model) for name, model in models.items()}
        missing = {name: missing_weights(config) for name, config in configs.items()}
        self.skipped = {n: f"no weights {', '.join(gone)}" for n, gone in missing.items() if gone}
        ready = {name: config for name, config in configs.items() if name not in self.skipped}
        if not ready:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.skipped.items())
            raise FileNotFoundError(f"no system can run ({reasons}); docs/systems.md trains them")
        self.labels = next(iter(ready.values())).labels
        # What the layout of the data lacks is said before a network is built.
        self.dataset = open_dataset(options.dataset, options.data, options.split, self.labels)
        device = torch_device(options.device)
        self._engines = {n: named_or_default(c.engine, device) for n, c in ready.items()}
        self._runs = {
            name: named(name, partial(DatasetRun, self._run_options(name, models[name], config)))
            for name, config in ready.items()
        }

    def __call__(self) -> SystemsOutcome:
        """Score what is not scored yet, time all in turns, write systems.json.

        Raise ValueError where no frame could be scored by all.
        """
        outcomes = {name: run() for name, run in self._runs.items()}
        pipelines = {name: run.pipeline for name, run in self._runs.items()}
        results = {name: outcome.results for name, outcome in outcomes.items()}
        broken = sorted({line for outcome in outcomes.values() for line in outcome.broken})
        frames = self._scored(list(results.values()))
        if not frames:
            raise ValueError(f"no frame could be scored: {'; '.join(broken[:3])}")
        images = [load(frame).image for frame in _spread(frames, TIMED_FRAMES)]
        first = next(iter(results.values()))
        content = {
            "version": 1,
            "label_set": first["label_set"],
            "dataset": {**first["dataset"], "broken": broken},
            "machine": {key: first["model"][key] for key in ("device", "torch", "threads")},
            "timed_frames": len(images),
            "systems": self._entries(results, pipelines, images),
            "skipped": self.skipped,
        }
        write_json(self.options.out / RESULTS, content, indent=2)
        shown = [_show(frame, pipelines) for frame in _spread(frames, SHOWN_FRAMES)]
        return SystemsOutcome(content, shown, broken)

    def _run_options(self, name: str, model: str, config: ModelConfig) -> RunOptions:
        options = self.options
        return RunOptions(
            options.dataset,
            options.data,
            options.out / name,
            split=options.split,
            weights=model,
            fusion=(config.fusion,),
            device=options.device,
            workers=options.workers,
            limit=options.limit,
        )

    def _entries(
        self,
        results: Mapping[str, Mapping[str, Any]],
        pipelines: Mapping[str, PanopticPipeline],
        images: Sequence[np.ndarray],
    ) -> dict[str, dict[str, Any]]:
        """Return what systems.json holds of each system."""
        milliseconds = time_in_turns(pipelines, images)
        entries = {}
        for name, pipeline in pipelines.items():
            found = results[name]
            panoptic = found["fusion"][pipeline.fusion_name]["panoptic"]
            counted = self._counted(name, pipeline)
            entries[name] = {
                "weights": found["model"]["weights"],
                "fusion": pipeline.fusion_name,
                "engine": self._engines[name],
                "panoptic": {group: panoptic[group] for group in ("all", "things", "stuff")},
                "miou": found["semantic"]["miou"],
                "ap": found["detector"]["ap"],
                "ap_cityscapes": found["detector"]["cityscapes"]["ap"],
                "parameters": parameters(counted),
                "gflops": gflops(counted, images[:COUNTED_FRAMES]),
                "milliseconds": milliseconds[name],
            }
        return entries

    def _counted(self, name: str, pipeline: PanopticPipeline) -> PanopticPipeline:
        """Return a system as torch runs it, whose operations can be counted."""
        if self._engines[name] == EAGER:
            return pipeline
        options = self._runs[name].options
        return PanopticPipeline.load(options.weights, device=options.device, engine=EAGER)

    def _scored(self, results: Sequence[Mapping[str, Any]]) -> list[LabeledFrame]:
        """Return the frames that every system was scored on."""
        names = set.intersection(*({f["name"] for f in r["frames"]} for r in results))
        return [frame for frame in self.dataset if frame.name in names]


def model_of(system: str) -> str:
    """Return the model file of a system; a name that config/systems lacks is a model's."""
    folder = share_dir() / "config"
    file = folder / "systems" / f"{system}.yaml"
    if file.is_file() or Path(system).suffix in (".yaml", ".yml"):
        return str(file) if file.is_file() else system
    if not (folder / "models" / f"{system}.yaml").is_file():
        known = ", ".join(sorted(f.stem for f in folder.glob("[ms]*s/*.yaml")))
        raise FileNotFoundError(
            f"there is no system or model {system!r}; known: {known}; or give a .yaml file"
        )
    return system


def missing_weights(config: ModelConfig) -> list[str]:
    """Return the weights that a model names and that are not there, by their last two names."""
    return [
        "/".join(path.parts[-2:])
        for path in weight_files(config)
        if not (path if is_onnx(str(path)) else path.with_name(f"{path.name}.json")).is_file()
    ]


def _models(systems: Sequence[str]) -> dict[str, str]:
    """Return the model file of each system by the name that it has in the table."""
    models: dict[str, str] = {}
    for system in systems:
        name = Path(system).stem if Path(system).suffix in (".yaml", ".yml") else system
        if name in models:
            raise ValueError(f"system {name!r} is there twice; rename one of the files")
        models[name] = model_of(system)
    return models


def _show(frame: LabeledFrame, pipelines: Mapping[str, PanopticPipeline]) -> ShownFrame:
    content = load(frame)
    labels = {name: pipeline(content.image).labels for name, pipeline in pipelines.items()}
    return ShownFrame(frame.name, content.image, content.truth, labels)


def _spread(frames: Sequence[LabeledFrame], count: int) -> list[LabeledFrame]:
    """Return so many frames at most, evenly spread."""
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return [frames[i] for i in chosen]
