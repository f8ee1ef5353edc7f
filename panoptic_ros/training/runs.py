"""From a command to weights: settings, data, task, training, export."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from accelerate import PartialState
from torch import nn

from panoptic_ros.checkpoints import read_side_file, save
from panoptic_ros.datasets import open_dataset
from panoptic_ros.training.frozen import FrozenConfig
from panoptic_ros.training.head import HeadConfig, HeadTask, HeadTrainee
from panoptic_ros.training.instance import InstanceConfig, InstanceTask
from panoptic_ros.training.loop import Outcome, train
from panoptic_ros.training.panoptic import PanopticConfig, PanopticTask, PanopticTrainee
from panoptic_ros.training.ranking import RankingTask
from panoptic_ros.training.semantic import SemanticConfig, SemanticTask
from panoptic_ros.training.settings import TrainingConfig, plain, read
from panoptic_ros.training.task import Task
from panoptic_ros.whole_files import alone, alone_with

# What each kind's settings are, and what trains; what has frozen networks takes the run, too.
KINDS: dict[str, tuple[type[TrainingConfig], Callable[..., Task]]] = {
    "semantic": (SemanticConfig, SemanticTask),
    "instance": (InstanceConfig, InstanceTask),
    "panoptic": (PanopticConfig, PanopticTask),
    "head": (HeadConfig, HeadTask),
    "ranking": (FrozenConfig, RankingTask),
}


def start(
    kind: str,
    config_file: Path,
    overrides: Sequence[str],
    data: Path,
    run: Path,
    output: Path,
    command: str,
) -> Mapping[str, float] | None:
    """Train from settings and data on disk; write weights and side file.

    kind: a key of KINDS; run: folder of checkpoints and logs, gone on from where it holds
    any; output: weights to write, without suffix; command: for the side file.
    Returns the scores in percent, None in all but the main process. Raises FileNotFoundError
    for missing settings, data or weights, ValueError for bad ones, and where another process
    trains into the folder.
    """
    config = read(KINDS[kind][0], config_file, overrides)
    state = PartialState(cpu=not torch.cuda.is_available())
    # Two that write the same checkpoint, or the same predictions, leave none.
    with ExitStack() as held:
        if state.is_main_process:
            held.enter_context(alone(run, "--run"))
            held.enter_context(alone_with(output, "--output"))
        return _train(kind, config, data, run, output, command)


def _train(
    kind: str, config: TrainingConfig, data: Path, run: Path, output: Path, command: str
) -> Mapping[str, float] | None:
    train_frames = open_dataset(config.dataset, data, config.train_split)
    val_frames = open_dataset(config.dataset, data, config.val_split)
    more = (run,) if isinstance(config, FrozenConfig) else ()
    task = KINDS[kind][1](config, train_frames, val_frames, *more)
    outcome = train(task, run)
    if not outcome.is_main:
        return None
    sizes = {config.train_split: len(train_frames), config.val_split: len(val_frames)}
    origin = {"dataset": config.dataset, "folder": data.name, "frames": sizes}
    _export(task, outcome, output, command, origin)
    return outcome.scores


def _export(task: Task, outcome: Outcome, output: Path, command: str, data: dict) -> None:
    config, trainee = task.config, outcome.trainee
    common = {
        "label_set": config.label_set,
        "command": command,
        "data": data,
        "seed": config.seed,
        # None has a value where the frames to validate on have no pixel of any class.
        "scores": {n: round(v, 3) for n, v in outcome.scores.items() if math.isfinite(v)},
        "half_precision": True,
        "steps": outcome.steps,
        **({} if outcome.best_step is None else {"best_step": outcome.best_step}),
        "device": outcome.device,
        "processes": outcome.processes,
        "torch": torch.__version__,
        "settings": plain(config),
    }
    network: nn.Module = trainee.best if isinstance(trainee, HeadTrainee) else trainee.network
    save(network, output, architecture=config.architecture, **common, **task.notes)
    if isinstance(trainee, PanopticTrainee) and trainee.head is not None:
        save(
            trainee.head,
            output.with_name(f"{output.name}_head"),
            architecture={
                "name": "panoptic_head",
                "class_ids": list(trainee.head.class_ids),
                "num_semantic": trainee.head.num_semantic,
            },
            **common,
            trained_for={"network": read_side_file(output)["sha256"]},
        )
