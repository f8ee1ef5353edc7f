import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import folded_file
import numpy as np
import pytest
import toy
import yaml
from held import held, held_file
from waiting import wait_for

from panoptic_ros.__main__ import main
from panoptic_ros.checkpoints import load, read_side_file
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.resources import share_dir
from panoptic_ros.training.runs import start
from panoptic_ros.training.train_state import LAST, load_state, save_state

HERE = Path(__file__).parent
SMALL = [
    "architecture.decoder_channels=8",
    "augmentation.crop=[64, 64]",
    "batch_size=2",
    "workers=0",
    "mixed_precision=no",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy.write(tmp_path_factory.mktemp("toy"), frames=4)


@pytest.fixture(scope="module")
def first_state(data, tmp_path_factory):
    """Return the state of a training after its first step."""
    run = tmp_path_factory.mktemp("first")
    _start(data, run, [*SMALL, "steps=1"])
    return load_state(run)


def _config(kind):
    return share_dir() / "config" / "training" / f"{kind}.yaml"


def _start(data, run, overrides):
    return start("semantic", _config("semantic"), overrides, data, run, run / "out", "the command")


def test_weights_and_side_file_say_what_was_done(data, tmp_path):
    scores = _start(data, tmp_path, [*SMALL, "steps=2", "seed=5"])
    network, side = load(tmp_path / "out")
    assert network.num_classes == 19
    assert side["command"] == "the command"
    assert side["seed"] == 5
    assert side["steps"] == 2
    assert side["data"] == {
        "dataset": "cityscapes",
        "folder": data.name,
        "frames": {"train": 4, "val": 2},
    }
    assert side["device"].startswith(("CPU", "NVIDIA"))
    assert side["scores"]["mIoU"] == pytest.approx(scores["mIoU"], abs=1e-3)
    assert side["settings"]["augmentation"]["crop"] == [64, 64]
    assert yaml.safe_load(_config("semantic").read_text()).keys() <= side["settings"].keys()


@pytest.mark.parametrize(
    ("kind", "override", "said"),
    [
        ("semantic", "architecture.num_classes=5", "the semantic network has 5 classes"),
        ("instance", "architecture.num_classes=9", "the instance network has 9 classes"),
        ("panoptic", "architecture.num_things=7", "the network has 19 classes, 7 of them things"),
        ("head", "architecture.class_ids=[24]", r"class_ids is \[24\]; the things of label set"),
        ("head", "architecture.num_semantic=5", "num_semantic is 5; label set 'cityscapes' has 19"),
        ("ranking", "architecture.class_ids=[24]", r"class_ids is \[24\]; the things of label set"),
        ("semantic", "batch_size=1", "batch_size is 1; it must be >= 2"),
    ],
)
def test_other_classes_than_the_labels_are_told_before_any_is_read(
    data, tmp_path, monkeypatch, kind, override, said
):
    def never(frame):
        raise AssertionError("a frame was read")

    monkeypatch.setattr("panoptic_ros.datasets.Sample.load_instance_ids", never)
    overrides = [override] + (["model=random"] if kind in ("head", "ranking") else [])
    with pytest.raises(ValueError, match=said):
        start(kind, _config(kind), overrides, data, tmp_path, tmp_path / "out", "the command")


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_weights_to_write_are_named_without_suffix(data, tmp_path, capsys, suffix):
    command = ["train", "semantic", "--data", str(data), "--run", str(tmp_path / "run")]
    assert main([*command, "--output", str(tmp_path / f"mine{suffix}")]) == 2
    assert f"write {tmp_path / 'mine'}, no suffix" in capsys.readouterr().err


SHARED = [
    "architecture.fpn_channels=32",
    "architecture.semantic.channels=32",
    "augmentation.crop=[64, 64]",
    "validation_frames=1",
    *SMALL[2:],
]


def _start_shared(data, run, *overrides, config="panoptic"):
    overrides = [*SHARED, *overrides]
    start("panoptic", _config(config), overrides, data, run, run / "out", "the command")


def test_a_shared_network_is_the_best_validated_and_says_after_which_step(data, tmp_path):
    _start_shared(data, tmp_path, "steps=3", "validation_interval=1", config="town_fast")
    side = read_side_file(tmp_path / "out")
    assert side["architecture"]["instances"]["name"] == "yolact"
    with (tmp_path / "scores.csv").open() as file:
        scores = {int(row["step"]): float(row["PQ"]) for row in csv.DictReader(file)}
    assert set(scores) == {1, 2, 3}
    best = max(scores, key=scores.__getitem__)
    assert (side["steps"], side["best_step"]) == (3, best)
    assert side["scores"]["PQ"] == pytest.approx(scores[best], abs=1e-3)


def test_a_head_that_learned_with_its_network_runs_on_it(data, tmp_path):
    instances = "{name: mask_rcnn, box_channels: 8, mask_channels: [8], proposals: 20}"
    _start_shared(data, tmp_path, f"architecture.instances={instances}", "steps=1", "head_weight=1")
    digest = read_side_file(tmp_path / "out")["sha256"]
    assert read_side_file(tmp_path / "out_head")["trained_for"] == {"network": digest}
    model = tmp_path / "model.yaml"
    parts = "network: {weights: ./out}\nhead: {weights: ./out_head}\n"
    model.write_text(f"label_set: cityscapes\nfusion: conv_head\n{parts}")
    pipeline = PanopticPipeline.load(str(model), device="cpu")
    assert pipeline.fusion_name == "conv_head"
    image, ids = toy.frame(0)
    assert pipeline(image).labels.shape == ids.shape


def test_the_side_file_names_the_initial_weights(data, tmp_path):
    start_from = folded_file.write(tmp_path / "mobilenet.safetensors")
    _start(data, tmp_path / "first", [*SMALL, "steps=1", f"initialize={start_from}"])
    _start(data, tmp_path / "next", [*SMALL, "steps=1", f"initialize={tmp_path}/first/out"])
    initial = read_side_file(tmp_path / "next" / "out")["initial"]
    assert initial["sha256"] == read_side_file(tmp_path / "first" / "out")["sha256"]
    assert initial["initial"]["origin"] == "mobilenet.safetensors"


@pytest.mark.parametrize(
    "change",
    [
        {"trainee": {}},
        {"optimizer": "text"},
        {"step": -1},
        {"step": "2"},
        {"seconds": "soon"},
        {"best": {"a": 1}},
    ],
)
def test_a_state_of_other_settings_is_named(data, tmp_path, change, first_state):
    save_state(tmp_path, first_state | change)
    with pytest.raises(ValueError, match=r"last\.pt is not of a training with these settings"):
        _start(data, tmp_path, [*SMALL, "steps=2"])


def test_two_at_once_in_a_run_are_refused_before_any_data_is_read(tmp_path):
    with held(tmp_path), pytest.raises(ValueError, match=r"in use .*choose another --run"):
        _start(tmp_path / "none", tmp_path, [*SMALL, "steps=1"])


def test_two_at_once_do_not_train_the_same_weights(tmp_path):
    said = f"{tmp_path / 'out'} is in use .* another --output"
    with held_file(tmp_path / "out.lock"), pytest.raises(ValueError, match=said):
        _start(tmp_path / "none", tmp_path, [*SMALL, "steps=1"])


def test_a_run_that_is_a_file_is_named(data, tmp_path):
    run = tmp_path / "run"
    run.write_text("")
    with pytest.raises(NotADirectoryError, match=r"run is a file; choose another --run"):
        _start(data, run, [*SMALL, "steps=1"])


def test_validation_without_a_known_class_loses_no_training(tmp_path):
    root = toy.write(tmp_path / "data", frames=1, val_frames=1)
    for kind in ("labelIds", "instanceIds"):
        (file,) = root.glob(f"gtFine/val/*/*_{kind}.png")
        truth = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(file), np.zeros_like(truth))
    _start(root, tmp_path, [*SMALL, "steps=1"])
    assert load(tmp_path / "out")[1]["scores"] == {}


@pytest.mark.parametrize("kind", ["leftImg8bit/train/*/*.png", "leftImg8bit/val/*/*.png"])
def test_a_broken_picture_is_told_in_one_line(tmp_path, kind):
    root = toy.write(tmp_path / "data", frames=1, val_frames=1)
    (picture,) = root.glob(kind)
    picture.write_bytes(b"no picture")
    settings = [*SMALL[:3], *SMALL[4:], "workers=1", "steps=1"]
    with pytest.raises(ValueError, match=rf"^{picture} is not an image .*$") as error:
        _start(root, tmp_path, settings)
    assert "\n" not in str(error.value)


def test_a_state_of_another_network_is_named(data, tmp_path, first_state):
    save_state(tmp_path, first_state)
    other = ["architecture.decoder_channels=16", *SMALL[1:], "steps=2"]
    with pytest.raises(ValueError, match=r"RuntimeError: .*size mismatch.*choose another --run"):
        _start(data, tmp_path, other)


def _command(data, run, steps):
    settings = [*SMALL, f"steps={steps}", "checkpoint_interval=2"]
    command = [sys.executable, "-m", "panoptic_ros", "train", "semantic"]
    command += ["--data", str(data), "--run", str(run)]
    for setting in settings:
        command += ["--set", setting]
    return command


def _environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def test_a_killed_command_goes_on_from_its_last_checkpoint(data, tmp_path):
    run = tmp_path / "run"
    root = HERE.parents[1]
    with subprocess.Popen(
        _command(data, run, 100000), env=_environment(), cwd=root, stderr=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: (run / LAST).exists() or process.poll() is not None, "a checkpoint")
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    step = load_state(run)["step"]
    done = subprocess.run(
        _command(data, run, step + 3),
        env=_environment(),
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert load_state(run)["step"] == step + 3
    side = json.loads((run / "semantic.json").read_text())
    assert side["command"].startswith("python -m panoptic_ros train semantic --data ")
    with (run / "scores.csv").open() as file:
        assert [int(r["step"]) for r in csv.DictReader(file)] == [step + 3]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("leftImg8bit/train", "leftImg8bit/SPLIT/CITY"),
        ("gtFine/val/toytown/toytown_001000_000000_gtFine_instanceIds.png", "gtFine/SPLIT/CITY"),
    ],
)
def test_what_is_missing_is_named_with_the_layout(tmp_path, broken, words):
    root = toy.write(tmp_path / "data", frames=1, val_frames=1)
    path = root / broken
    path.rename(root / "away")
    with pytest.raises(FileNotFoundError, match=words) as error:
        _start(root, tmp_path / "run", SMALL)
    assert str(path) in str(error.value)


def test_missing_weights_of_a_frozen_network_are_named(data, tmp_path):
    frozen = [f"semantic={tmp_path}/semantic", f"instance={tmp_path}/instance"]
    with pytest.raises(FileNotFoundError, match=r"semantic\.json is missing"):
        start("head", _config("head"), frozen, data, tmp_path, tmp_path / "out", "")


def test_the_head_asks_for_its_frozen_networks(data, tmp_path):
    with pytest.raises(ValueError, match="set semantic: the checkpoint of the frozen semantic"):
        start("head", _config("head"), [], data, tmp_path, tmp_path / "out", "")
