import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import tracking
from accelerate.tracking import GeneralTracker
from accelerate.utils import LoggerType
from linear import VALIDATION_FRAMES, LinearSamples, LinearTask, LinearTrainee

from panoptic_ros.training import loop
from panoptic_ros.training.loop import Schedule, learning_rate, make_optimizer, train
from panoptic_ros.training.settings import OptimizerConfig, TrainingConfig
from panoptic_ros.training.train_state import load_state

TEST = Path(__file__).parents[1]


class _Interrupted(LinearSamples):
    """Fail at a sample, as a kill would."""

    def __init__(self, last):
        self.last = last

    def __getitem__(self, sample):
        if sample >= self.last:
            raise KeyboardInterrupt
        return super().__getitem__(sample)


def _equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_an_interrupted_and_resumed_training_equals_an_uninterrupted_one(tmp_path):
    whole = train(LinearTask(), tmp_path / "whole")
    task = LinearTask()
    # Steps 0 to 4 run, the checkpoint is of step 3: steps 3 and 4 are done again.
    task.samples = _Interrupted(last=20)
    with pytest.raises(KeyboardInterrupt):
        train(task, tmp_path / "parts")
    assert load_state(tmp_path / "parts")["step"] == 3
    resumed = train(LinearTask(), tmp_path / "parts")
    assert _equal(resumed.trainee.state_dict(), whole.trainee.state_dict())
    logs = [(tmp_path / run / "losses.csv").read_text() for run in ("whole", "parts")]
    assert logs[0] == logs[1]


def test_a_finished_training_is_not_trained_again(tmp_path):
    first = train(LinearTask(), tmp_path)
    weights = {k: v.clone() for k, v in first.trainee.state_dict().items()}
    again = LinearTask()
    again.samples = _Interrupted(last=0)
    second = train(again, tmp_path)
    assert _equal(second.trainee.state_dict(), weights)
    assert second.scores == first.scores == {"frames": VALIDATION_FRAMES}


def test_training_lowers_the_loss_and_logs_every_step(tmp_path):
    train(LinearTask(dropout=0.0, steps=150, checkpoint_interval=150), tmp_path)
    with (tmp_path / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(r["step"]) for r in rows] == list(range(1, 151))
    assert float(rows[-1]["square"]) < 0.01 * float(rows[0]["square"])


class _Kept(GeneralTracker):
    """Keep what a tracker is told."""

    name = "wandb"
    requires_logging_directory = False
    told = None

    def __init__(self, project, **options):
        super().__init__()
        type(self).told = [(project, options["name"])]

    def start(self):
        pass

    @property
    def tracker(self):
        return self

    def store_init_configuration(self, values):
        self.told.append(values)

    def log(self, values, step=None, **_):
        self.told.append((step, list(values)))


def test_a_tracker_gets_settings_losses_and_scores(tmp_path, monkeypatch):
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", _Kept)
    for module in (tracking, loop):
        monkeypatch.setattr(module, "get_available_trackers", lambda: [LoggerType.WANDB])
    train(LinearTask(steps=2, trackers=("tensorboard", "wandb")), tmp_path / "name")
    run, settings, *told = _Kept.told
    assert run == ("panoptic_ros", "name")
    assert (settings["steps"], settings["optimizer.lr"]) == (2, LinearTask().config.optimizer.lr)
    losses = ["losses/square", "losses/lr"]
    assert told == [(1, losses), (2, losses), (2, ["scores/frames"])]


def test_a_tracker_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "get_available_trackers", lambda: ["tensorboard"])
    with pytest.raises(ValueError, match="mlflow is not installed: pip install mlflow"):
        train(LinearTask(trackers=("mlflow",)), tmp_path)
    with pytest.raises(ValueError, match="trackers: 'aim' is unknown; known: tensorboard, wandb"):
        TrainingConfig(architecture={}, trackers=("aim",))


def test_two_processes_train_what_one_trains(tmp_path):
    one = train(LinearTask(dropout=0.0), tmp_path / "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    command += ["--rdzv_backend=c10d", "--rdzv_endpoint=127.0.0.1:0", "--local_addr=127.0.0.1"]
    run = subprocess.run(
        [*command, str(TEST / "helpers" / "linear.py"), str(tmp_path / "two")],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=TEST.parent,
        env=_environment(),
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    two = torch.load(tmp_path / "two" / "outcome.pt", weights_only=True)
    assert two["processes"] == 2
    # Every validation frame was counted once.
    assert two["frames"] == VALIDATION_FRAMES
    for name, tensor in one.trainee.state_dict().items():
        torch.testing.assert_close(two["weights"][name], tensor, msg=name)


def _environment():
    path = os.pathsep.join([str(TEST.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize("steps", [2, 40])
def test_losses_that_stay_not_finite_stop_the_training(tmp_path, steps):
    task = LinearTask(steps=steps)

    class Broken(LinearSamples):
        def __getitem__(self, sample):
            return torch.full((3,), torch.nan), torch.tensor(0.0)

    task.samples = Broken()
    with pytest.raises(FloatingPointError, match=r"not finite.*lower optimizer\.lr \(0\.05\)"):
        train(task, tmp_path)


def test_one_gradient_that_is_not_finite_is_left_out(tmp_path):
    task = LinearTask()

    class Once(LinearSamples):
        def __getitem__(self, sample):
            x, y = super().__getitem__(sample)
            return (x * torch.nan, y) if sample == 9 else (x, y)

    task.samples = Once()
    outcome = train(task, tmp_path)
    assert all(torch.isfinite(p).all() for p in outcome.trainee.parameters())


@pytest.mark.parametrize("part", ["parameters", "buffers"])
@pytest.mark.parametrize("value", [7e4, torch.nan])
def test_weights_that_cannot_be_stored_end_the_training_at_that_step(tmp_path, part, value):
    task = LinearTask(steps=1000)
    network = task.trainee.network
    network.register_buffer("seen", torch.zeros(1))

    class Bad(LinearSamples):
        def __getitem__(self, sample):
            if sample == 12:
                with torch.no_grad():
                    next(iter(getattr(network, part)())).fill_(value)
            return super().__getitem__(sample)

    task.samples = Bad()
    said = r"step [23]: the weights reach (7e\+04|nan), .*lower optimizer\.lr \(0\.05\) or"
    with pytest.raises(FloatingPointError, match=said):
        train(task, tmp_path)


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, monkeypatch):
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", 3)
    with pytest.raises(ValueError, match="batch_size 4 is no multiple of 3 processes"):
        train(LinearTask(), tmp_path)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.025), (1, 0.05 * 0.9), (5, 0.05 * 0.5), (9, 0.05 * 0.1)]
)
def test_the_learning_rate_warms_up_and_decays(step, expected):
    config = OptimizerConfig(lr=0.05, warmup=2, power=1.0)
    assert learning_rate(step, step / 10, config) == pytest.approx(expected)


def test_the_backbone_learns_at_its_own_rate(tmp_path):
    task = LinearTask(dropout=0.0, steps=1, warmup=1, backbone_lr=1e-3)
    before = {k: v.clone() for k, v in task.trainee.state_dict().items()}
    after = train(task, tmp_path).trainee.state_dict()
    # AdamW's first step is the learning rate (0.05) against the gradient's sign.
    moved = {k: float((after[k] - before[k]).abs().max()) for k in before}
    assert moved["network.0.weight"] == pytest.approx(0.05e-3, rel=0.1)
    assert moved["network.2.bias"] == pytest.approx(0.05, rel=0.1)


def test_a_network_without_a_backbone_has_one_rate():
    task = LinearTask()
    task.trainee.__class__ = type("Whole", (LinearTrainee,), {"backbone": None})
    groups = make_optimizer(task.trainee, OptimizerConfig(backbone_lr=0.1)).param_groups
    assert [(g["weight_decay"], g["lr_factor"]) for g in groups] == [(1e-2, 1.0), (0.0, 1.0)]


@pytest.fixture
def clock(monkeypatch):
    """Let each look at the clock take a second."""
    seconds = iter(range(10**6))
    monkeypatch.setattr("panoptic_ros.training.loop.time.monotonic", lambda: next(seconds))


def test_minutes_end_the_training_and_the_schedule(tmp_path, clock):
    outcome = train(LinearTask(minutes=0.5, steps=1, checkpoint_interval=10**6), tmp_path)
    # The first look is the start; the one that shows 30 s ends it.
    assert outcome.steps == 29
    with (tmp_path / "losses.csv").open() as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    config = LinearTask().config.optimizer
    expected = [learning_rate(s, (s + 1) / 30, config) for s in range(29)]
    assert rates == pytest.approx(expected, rel=1e-5)


def test_an_interrupted_training_of_minutes_runs_on_for_the_rest(tmp_path, clock):
    task = LinearTask(minutes=0.5, checkpoint_interval=10)
    task.samples = _Interrupted(last=80)
    with pytest.raises(KeyboardInterrupt):
        train(task, tmp_path)
    state = load_state(tmp_path)
    # Ten steps, and a look when saving.
    assert (state["step"], state["seconds"]) == (10, 11)
    outcome = train(LinearTask(minutes=0.5, checkpoint_interval=10**6), tmp_path)
    assert outcome.steps == 10 + 18
    assert train(LinearTask(minutes=0.5), tmp_path).steps == 28


class _Judged(LinearTask):
    """Validate after steps 2, 4, 6 and 8, with the PQ that is given for each."""

    chosen_by = "PQ"

    def __init__(self, given, last=10**6):
        super().__init__(validation_interval=2)
        self.samples = _Interrupted(last)
        self.seen = {}
        self._left = iter(given.items())

    def scores(self, trainee, counts):
        step, quality = next(self._left)
        self.seen[step] = {k: v.clone() for k, v in trainee.state_dict().items()}
        return {"PQ": quality, "mIoU": 50.0}


@pytest.mark.parametrize(
    ("given", "best"),
    [
        ({2: 10.0, 4: 30.0, 6: 20.0, 8: 25.0}, 4),
        ({2: 1.0, 4: 2.0, 6: 3.0, 8: 4.0}, 8),
        ({2: 0.0, 4: 0.0, 6: 0.0, 8: 0.0}, 2),
    ],
    ids=["in between", "the last", "the first of equals"],
)
def test_the_best_validated_state_is_the_result(tmp_path, given, best):
    task = _Judged(given)
    outcome = train(task, tmp_path)
    assert (outcome.steps, outcome.best_step) == (8, best)
    assert outcome.scores == {"PQ": given[best], "mIoU": 50.0}
    assert _equal(outcome.trainee.state_dict(), task.seen[best])


def test_the_best_state_outlives_an_interruption(tmp_path):
    later = {4: 10.0, 6: 20.0, 8: 25.0}
    whole = train(_Judged({2: 30.0, **later}), tmp_path / "whole")
    # The checkpoint is of step 3: what was best after step 2 is in it.
    with pytest.raises(KeyboardInterrupt):
        train(_Judged({2: 30.0}, last=16), tmp_path / "parts")
    resumed = train(_Judged(later), tmp_path / "parts")
    assert (resumed.best_step, resumed.scores) == (2, whole.scores)
    assert _equal(resumed.trainee.state_dict(), whole.trainee.state_dict())
    # What is trained on is the last state, not the best.
    last = [load_state(tmp_path / run)["trainee"] for run in ("whole", "parts")]
    assert _equal(*last)
    assert not _equal(last[0], whole.trainee.state_dict())


@pytest.mark.usefixtures("other_precision")
def test_mixed_precision_is_for_training_alone(tmp_path):
    seen = []

    class Watched(LinearTask):
        def validate(self, trainee, share):
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().validate(trainee, share)

    task = Watched(mixed_precision="bf16")
    task.trainee.network.register_forward_hook(
        lambda *_: seen.append(torch.is_autocast_enabled("cpu"))
    )
    train(task, tmp_path)
    assert seen == [True] * 8 + [False]


def test_pictures_of_a_validation_are_logged(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    task = LinearTask(steps=4, validation_interval=2)
    task.pictures = lambda trainee: {"frame": np.full((4, 6, 3), 9, np.uint8)}
    train(task, tmp_path)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    shown = board.Images("samples/frame")
    assert [(p.step, p.height, p.width) for p in shown] == [(2, 4, 6), (4, 4, 6)]


def test_a_schedule_of_steps_ignores_the_clock(clock):
    assert Schedule(TrainingConfig(architecture={}, steps=8)).share(2) == 0.25
