"""The training loop: any task, any device, one process or many, resumable at any step."""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs, set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader

from panoptic_ros.training.logs import TrainingLog
from panoptic_ros.training.settings import OptimizerConfig, TrainingConfig, flat
from panoptic_ros.training.task import Task, Trainee
from panoptic_ros.training.train_state import LAST, load_state, save_state

# fp16's loss scale halves at each of them; from 2^16 this many leave it at 1.
UNUSABLE_LIMIT = 16
# Weights are stored in half precision.
LARGEST_WEIGHT = torch.finfo(torch.float16).max
_LONGEST_REASON = 400
# Of a training that ends by the clock: more than any will see.
ENDLESS_STEPS = 1 << 40


@dataclass(frozen=True)
class Outcome:
    """Hold the result of a training: a module on the CPU, its scores in percent, where it ran.

    steps: all that were taken; best_step: the one after which the module was as it is, None
    for the last.
    """

    trainee: Trainee
    scores: Mapping[str, float]
    steps: int
    best_step: int | None
    device: str
    processes: int
    is_main: bool


@dataclass(frozen=True)
class Best:
    """Hold the best validated state so far: after which step, its scores, its tensors."""

    step: int
    scores: dict[str, float]
    trainee: dict[str, Tensor]


def train(task: Task, run: Path) -> Outcome:
    """Train a task to its last step, from the run's last checkpoint where there is one.

    A step's samples, learning rate and random numbers depend on its number alone, so an
    interrupted and resumed training equals one that was never interrupted. With
    `minutes`, the learning rate and the end depend on the clock. Raise ValueError where the
    checkpoint is of other settings.
    """
    accelerator = _accelerator(task)
    config = task.config
    _start_trackers(accelerator, config, run)
    processes = accelerator.num_processes
    if config.batch_size % processes:
        raise ValueError(f"batch_size {config.batch_size} is no multiple of {processes} processes")
    state = load_state(run)
    optimizer = make_optimizer(task.trainee, config.optimizer)
    first, seconds, best = 0, 0.0, None
    if state is not None:
        first, seconds, best = _restore(state, task.trainee, optimizer, run)
    if not config.minutes:
        first = min(first, config.steps)
    loader = _loader(task, first)
    trainee, optimizer, loader = accelerator.prepare(task.trainee, optimizer, loader)
    if accelerator.scaler is not None and state is not None:
        accelerator.scaler.load_state_dict(state["scaler"])
    session = _Session(accelerator, task, trainee, optimizer, run, Schedule(config, seconds), best)
    scores = session.loop(loader, first)
    trained: Trainee = accelerator.unwrap_model(trainee).cpu().eval()
    best = session.best
    if best is not None:
        trained.load_state_dict(best.trainee)
    outcome = Outcome(
        trainee=trained,
        scores=scores if best is None else best.scores,
        steps=session.done,
        best_step=None if best is None else best.step,
        device=_device_name(accelerator.device),
        processes=processes,
        is_main=accelerator.is_main_process,
    )
    # A process that exits while another still talks to it makes that one abort.
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return outcome


def _restore(
    state: Mapping[str, Any], trainee: Trainee, optimizer: torch.optim.Optimizer, run: Path
) -> tuple[int, float, Best | None]:
    """Load a run's state; return its step, its seconds and the best one before it.

    Raise ValueError where it is of another training.
    """
    try:
        trainee.load_state_dict(state["trainee"])
        optimizer.load_state_dict(state["optimizer"])
        best = Best(**state["best"]) if state.get("best") else None
        if not (isinstance(state["step"], int) and state["step"] >= 0):
            raise ValueError(f"its step is {state['step']!r}")
        return state["step"], float(state.get("seconds", 0.0)), best
    # What a state of other settings, or none at all, makes of torch.
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise ValueError(
            f"{run / LAST} is not of a training with these settings ({type(error).__name__}: "
            f"{reason}); choose another --run, or remove it to start anew"
        ) from error


class Schedule:
    """Say how far a training is: by its steps, or by the minutes that it has run.

    seconds: what it has run before it was interrupted.
    """

    def __init__(self, config: TrainingConfig, seconds: float = 0.0) -> None:
        self._minutes = config.minutes
        self._began = time.monotonic() - seconds
        self.steps = math.inf if config.minutes else config.steps

    @property
    def seconds(self) -> float:
        """Time that the training has run."""
        return time.monotonic() - self._began

    def share(self, step: int) -> float:
        """Return the share of the training that is done before a step, 1 or more at its end."""
        return self.seconds / 60 / self._minutes if self._minutes else step / self.steps


def make_optimizer(trainee: Trainee, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return the optimiser; biases and normalisation parameters are not decayed.

    Each group has an `lr_factor`: `backbone_lr` for the backbone's parameters, else 1.
    """
    backbone = set() if trainee.backbone is None else set(trainee.backbone.parameters())
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in filter(lambda p: p.requires_grad, trainee.parameters()):
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        factor = config.backbone_lr if parameter in backbone else 1.0
        found.setdefault((decay, factor), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay, "lr_factor": factor}
        for (decay, factor), parameters in found.items()
    ]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9)
    return torch.optim.AdamW(groups, lr=config.lr)


def learning_rate(step: int, share: float, config: OptimizerConfig) -> float:
    """Return the learning rate of a step: linear warm-up times polynomial decay.

    share: of the training that is done before it, [0, 1[.
    """
    return config.lr * min(1.0, (step + 1) / config.warmup) * (1 - share) ** config.power


@dataclass
class _Session:
    """Hold what the steps of one training share; done: how many there were."""

    accelerator: Accelerator
    task: Task
    trainee: nn.Module
    optimizer: torch.optim.Optimizer
    run: Path
    schedule: Schedule
    best: Best | None
    done: int = 0
    _unusable: int = 0

    @property
    def config(self) -> TrainingConfig:
        return self.task.config

    def loop(self, loader: DataLoader, first: int) -> Mapping[str, float]:
        """Run the steps from `first` on; return the last validation's scores."""
        if not self.accelerator.is_main_process:
            return self._steps(loader, first, None)
        steps = None if self.config.minutes else self.config.steps
        with TrainingLog(self.run, first, steps, self.accelerator.log) as log:
            return self._steps(loader, first, log)

    def _steps(
        self, loader: DataLoader, first: int, log: TrainingLog | None
    ) -> Mapping[str, float]:
        config = self.config
        self.trainee.train()
        done = first
        values: dict[str, Tensor | float] = {}
        for step, batch in enumerate(_read(loader), first):
            share = self._share(step)
            if share >= 1:
                break
            values = self._step(step, share, batch)
            done = step + 1
            if log:
                log.advance()
            if log and done % config.log_interval == 0:
                log.losses(done, values)
            if done % config.validation_interval == 0 and done < self.schedule.steps:
                self._validate(done, log)
            if done % config.checkpoint_interval == 0 and done < self.schedule.steps:
                self._save(done)
        self.done = done
        if log and values and done % config.log_interval:
            log.losses(done, values)
        if done > first:
            self._save(done)
        return self._validate(done, log)

    def _share(self, step: int) -> float:
        """Return the schedule's share, the same in all processes."""
        share = self.schedule.share(step)
        if not self.config.minutes:
            return share
        shared = torch.tensor(share, device=self.accelerator.device)
        return self.accelerator.reduce(shared, "mean").item()

    def _step(self, step: int, share: float, batch: object) -> dict[str, Tensor | float]:
        """Take a step; return its losses and its learning rate `lr`."""
        config = self.config
        lr = learning_rate(step, share, config.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_factor"]
        # Dropout and Mask R-CNN's sampling draw from torch's generator: seed it by step.
        rank = self.accelerator.process_index
        set_seed(config.seed + step * self.accelerator.num_processes + rank)
        losses = self.trainee(batch)
        total = torch.stack([v.float() for v in losses.values()]).sum()
        self.accelerator.backward(total)
        norm = self.accelerator.clip_grad_norm_(
            self.trainee.parameters(), config.optimizer.clip_norm
        )
        self._check(step, losses, bool(torch.isfinite(norm)))
        if self._unusable == 0 or self.accelerator.scaler is not None:
            self.optimizer.step()
        self._check_weights(step)
        self.optimizer.zero_grad()
        return {**{k: v.detach() for k, v in losses.items()}, "lr": lr}

    def _check(self, step: int, losses: Mapping[str, Tensor], usable: bool) -> None:
        """Count successive gradients that are not finite; raise where they do not end.

        A single one is left out: it would make every weight NaN. fp16 overflows now and
        then by design, and bf16 on a CPU has been seen to give one (torch 2.15, oneDNN).
        """
        self._unusable = 0 if usable else self._unusable + 1
        # A short training may not end before that, with the weights that it began with.
        limit = UNUSABLE_LIMIT
        if self.accelerator.scaler is None:
            limit = min(limit, self.config.steps - 1)
        if self._unusable > limit:
            shown = {k: float(v.detach()) for k, v in losses.items()}
            raise FloatingPointError(
                f"step {step}: {self._unusable} gradients in a row are not finite, the losses "
                f"are {shown}; {self._advice()} or set mixed_precision=no"
            )

    def _check_weights(self, step: int) -> None:
        """Raise FloatingPointError where the weights cannot be stored: more steps are in vain."""
        trainee = self.accelerator.unwrap_model(self.trainee)
        tensors = (*trainee.parameters(), *trainee.network.buffers())
        largest = nn.utils.get_total_norm(
            [t.detach() for t in tensors if t.is_floating_point()], math.inf
        )
        if not largest <= LARGEST_WEIGHT:
            raise FloatingPointError(
                f"step {step}: the weights reach {largest:.3g}, more than half precision holds, in "
                f"which they are stored ({LARGEST_WEIGHT:g}); {self._advice()}; the last "
                f"checkpoint in {self.run} is of before"
            )

    def _advice(self) -> str:
        optimizer = self.config.optimizer
        return (
            f"lower optimizer.lr ({optimizer.lr:g}) or optimizer.weight_decay "
            f"({optimizer.weight_decay:g}), lengthen optimizer.warmup ({optimizer.warmup})"
        )

    def _save(self, step: int) -> None:
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        save_state(
            self.run,
            {
                "step": step,
                "seconds": self.schedule.seconds,
                "trainee": self.accelerator.unwrap_model(self.trainee).state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler is not None else {},
                "best": None if self.best is None else vars(self.best),
            },
        )

    def _validate(self, step: int, log: TrainingLog | None) -> Mapping[str, float]:
        accelerator = self.accelerator
        trainee = accelerator.unwrap_model(self.trainee)
        trainee.eval()
        # Without mixed precision: what a node runs decides for itself.
        with torch.no_grad():
            counts = self.task.validate(
                trainee, (accelerator.process_index, accelerator.num_processes)
            )
        total = accelerator.reduce(torch.from_numpy(counts).to(accelerator.device), "sum")
        scores = self.task.scores(trainee, total.cpu().numpy())
        if log:
            log.scores(step, scores)
            with torch.no_grad():
                log.pictures(step, self.task.pictures(trainee))
        self._keep_best(step, scores, trainee)
        trainee.train()
        return scores

    def _keep_best(self, step: int, scores: Mapping[str, float], trainee: Trainee) -> None:
        """Keep a state that is better than all before; the same one in all processes."""
        key = self.task.chosen_by
        if key and (self.best is None or scores[key] > self.best.scores[key]):
            tensors = {n: t.detach().cpu().clone() for n, t in trainee.state_dict().items()}
            self.best = Best(step, dict(scores), tensors)


def _accelerator(task: Task) -> Accelerator:
    set_seed(task.config.seed)
    return Accelerator(
        mixed_precision=task.config.mixed_precision,
        log_with=_trackers(task.config) or None,
        # Without this, accelerate does not join several processes on a machine without GPU.
        cpu=not torch.cuda.is_available(),
        # One batch is split over the processes: settings mean the same for any number.
        dataloader_config=DataLoaderConfiguration(split_batches=True, dispatch_batches=False),
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=task.unused_parameters)
        ],
    )


def _trackers(config: TrainingConfig) -> list[str]:
    """Return the trackers of accelerate; raise ValueError that names one that is not installed."""
    wanted = [name for name in config.trackers if name != "tensorboard"]
    installed = [str(name) for name in get_available_trackers()]
    for name in wanted:
        if name not in installed:
            raise ValueError(f"trackers: {name} is not installed: pip install {name}")
    return wanted


def _start_trackers(accelerator: Accelerator, config: TrainingConfig, run: Path) -> None:
    """Begin a run of the folder's name with every tracker; one that is resumed goes on in W&B."""
    same = hashlib.sha256(os.fsencode(run.resolve())).hexdigest()[:16]
    accelerator.init_trackers(
        "panoptic_ros",
        flat(config),
        {
            "wandb": {"name": run.name, "dir": str(run), "id": same, "resume": "allow"},
            "mlflow": {"run_name": run.name},
        },
    )


def _read(loader: DataLoader) -> Iterator[Any]:
    """Yield batches; raise what is wrong with a file in its own words, without a worker's stack."""
    try:
        yield from loader
    except (OSError, ValueError) as error:
        last = [*re.finditer(rf"^[\w.]*{type(error).__name__}: ", str(error), re.MULTILINE)][-1:]
        raise ValueError(str(error)[last[0].end() if last else 0 :].strip()) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise OSError(
            f"a process that reads frames has died ({error}); it needs more memory, or in a "
            "container more shared memory (--shm-size=2g); --set workers=0 reads without it"
        ) from error


def _loader(task: Task, first_step: int) -> DataLoader:
    config = task.config
    last_step = ENDLESS_STEPS if config.minutes else config.steps
    return DataLoader(
        task.samples,
        batch_size=config.batch_size,
        sampler=range(first_step * config.batch_size, last_step * config.batch_size),
        num_workers=config.workers,
        collate_fn=task.collate,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=config.workers > 0,
    )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
