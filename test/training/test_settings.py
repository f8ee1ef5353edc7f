import argparse
import shlex
from pathlib import Path

import pytest
import torch

from panoptic_ros.cli import train as cli_train
from panoptic_ros.evaluation.systems import SYSTEMS, model_of
from panoptic_ros.model.config import load_model_config
from panoptic_ros.networks import build
from panoptic_ros.resources import share_dir
from panoptic_ros.training.frozen import FrozenConfig
from panoptic_ros.training.runs import KINDS
from panoptic_ros.training.semantic import SemanticConfig
from panoptic_ros.training.settings import plain, read


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("architecture: {name: x}\noptimizer: {lr: 1e-3}\n")
    return path


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_packaged_settings_are_read(kind):
    frozen = ["semantic=a", "instance=b"] if issubclass(KINDS[kind][0], FrozenConfig) else []
    path = share_dir() / "config" / "training" / f"{kind}.yaml"
    config = read(KINDS[kind][0], path, frozen)
    assert config.steps > 0
    # What the side file keeps can be trained from again.
    assert KINDS[kind][0].__name__ in repr(config)
    assert plain(config)["optimizer"]["lr"] == config.optimizer.lr


def test_overrides_reach_into_groups_and_keep_the_rest(file):
    overrides = ["optimizer.warmup=7", "augmentation.crop=[64, 128]", "mixed_precision=no"]
    config = read(SemanticConfig, file, overrides)
    assert (config.optimizer.lr, config.optimizer.warmup) == (1e-3, 7)
    assert config.augmentation.crop == (64, 128)
    assert config.mixed_precision == "no"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stepz=3", "unknown key 'stepz'; known: architecture"),
        ("optimizer.momentum=3", "optimizer: unknown key 'momentum'"),
        ("steps", "is not KEY=VALUE"),
        ("steps=many", "steps is 'many'; it must be a whole number"),
        ("steps=0", "steps is 0; it must be in 1..1099511627776"),
        ("steps=true", "steps is True; it must be a whole number"),
        ("optimizer.lr=fast", "optimizer: lr is 'fast'; it must be a number"),
        ("optimizer.lr=-1", "optimizer: lr is -1.0; it must be > 0"),
        ("optimizer.backbone_lr=0", "optimizer: backbone_lr is 0.0; it must be > 0"),
        ("minutes=-1", "minutes is -1.0; it must be in 0"),
        ("optimizer.name=adam", "known: adamw, sgd"),
        ("mixed_precision=fp8", "known: no, bf16, fp16"),
        ("augmentation.crop=[1]", "must be a list of 2 values"),
        ("augmentation.crop=[100000, 100000]", "more than"),
        ("augmentation.scale=[1, 1e9]", "must be in 1/64..8"),
        ("augmentation.scale=[1e-9, 1]", "must be in 1/64..8"),
        ("augmentation.flip=7", "flip is 7.0; it must be in 0..1"),
        ("augmentation.hue=9", "hue is 9.0; it must be in 0..0.5"),
        ("augmentation.contrast=-3", "contrast is -3.0; it must be in 0"),
        ("optimizer.weight_decay=-1", "weight_decay is -1.0; it must be in 0"),
        ("optimizer.power=-5", "power is -5.0; it must be in 0"),
        ("largest_class_weight=-1", "largest_class_weight is -1.0; it must be >= 1e-06"),
        ("largest_class_weight=1e-308", "largest_class_weight is 1e-308; it must be >= 1e-06"),
        ("augmentation.crop=[1, 1]", r"augmentation.crop is \(1, 1\); both sides must be >= 3"),
        ("augmentation.brightness=1e30", r"brightness is 1e\+30; it must be in 0..10"),
        ("augmentation.contrast=1e308", r"contrast is 1e\+308; it must be in 0..10"),
        ("augmentation.saturation=1e300", r"saturation is 1e\+300; it must be in 0..10"),
        ("optimizer.lr=1e308", r"lr is 1e\+308; it must be in 0..1000000"),
        ("optimizer.backbone_lr=1e308", r"backbone_lr is 1e\+308; it must be in 0..1000000"),
        ("optimizer.weight_decay=1e30", r"weight_decay is 1e\+30; it must be in 0..1000000"),
        ("optimizer.power=1e30", r"power is 1e\+30; it must be in 0..1000000"),
        ("minutes=1e30", r"minutes is 1e\+30; it must be in 0..527040"),
        ("optimizer.clip_norm=.inf", "clip_norm is inf; it must be a number"),
        ("steps=9223372036854775807", "steps is 9223372036854775807; it must be in 1.."),
        ("batch_size=1000000000", "batch_size is 1000000000; it must be in 1.."),
        ("workers=-1", "workers is -1; it must be in 0.."),
        ("workers=100000", "workers is 100000; it must be in 0.."),
        ("validation_frames=-1", "validation_frames is -1; it must be >= 0"),
        ("seed=-1", "seed is -1; it must be in 0.."),
        ("seed=4294967296", "seed is 4294967296; it must be in 0.."),
        # Numbers and names that YAML 1.1 makes something else of.
        ("steps=0100", "steps is '0100'; it must be a whole number"),
        ("steps=1:30", "steps is '1:30'; it must be a whole number"),
        ("steps=2001-01-01", "steps is '2001-01-01'; it must be a whole number"),
        ("augmentation.scale=[2, 1]", "needs 0 < smallest <= largest"),
        ("hard_fraction=0", r"must be in \]0, 1\]"),
        ("steps.x=1", "steps is no group"),
        ("steps=[1", r"override 'steps=\[1' cannot be read as YAML: .*expected"),
        ("steps={a: &a [*a]}", "override .* cannot be read as YAML: .*nested"),
        ("steps=!!bool maybe", "override .* cannot be read as YAML"),
        ("optimizer=3", "optimizer must be a mapping"),
        ("optimizer.lr=.nan", "lr is nan; it must be a number"),
        ("architecture=[a]", r"architecture is \['a'\]; it must be a mapping"),
        ("seed=[1, 2]", r"seed is \[1, 2\]; it must be a whole number"),
    ],
)
def test_bad_overrides_are_named(file, override, words):
    file.write_text("architecture: {name: x}\nsteps: 5\n")
    with pytest.raises(ValueError, match=words):
        read(SemanticConfig, file, [override])


@pytest.mark.parametrize(
    ("kind", "override", "words"),
    [
        ("panoptic", "augmentation.crop=[384, 700]", r"\(384, 700\); both .* multiples of 32"),
        (
            "panoptic",
            "semantic_weight=1e38",
            r"semantic_weight is 1e\+38; it must be in 0..1000000",
        ),
        ("panoptic", "min_area=2049", "min_area is 2049; it must be in 0..2048"),
        ("instance", "min_area=2049", "min_area is 2049; it must be in 0..2048"),
    ],
)
def test_what_no_training_learns_from_is_named(kind, override, words):
    path = share_dir() / "config" / "training" / f"{kind}.yaml"
    with pytest.raises(ValueError, match=words):
        read(KINDS[kind][0], path, ["augmentation.crop=[32, 64]", override])


def test_a_panoptic_training_without_any_loss_is_refused():
    path = share_dir() / "config" / "training" / "panoptic.yaml"
    with pytest.raises(ValueError, match="head_weight are 0; one must be more"):
        read(KINDS["panoptic"][0], path, ["semantic_weight=0", "instance_weight=0"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2]", "must be a mapping of keys to values"),
        ("text", "must be a mapping of keys to values"),
        ("architecture: {name: x", "cannot be read as YAML: expected"),
        ("architecture: {name: x}\n\tsteps: 3", "cannot be read as YAML"),
        ("3: 4\narchitecture: {name: x}", "unknown key 3"),
        ("architecture: {name: x}\noptimizer: [1]", "optimizer must be a mapping"),
        ("architecture: {name: x}\nsteps: 1\nsteps: 2", "'steps' is there twice"),
    ],
)
def test_a_bad_file_is_named(file, content, words):
    file.write_text(content)
    with pytest.raises(ValueError, match=rf"(?s)settings.yaml.*{words}"):
        read(SemanticConfig, file)


def test_an_empty_group_is_the_default_one(file):
    file.write_text("architecture: {name: x}\noptimizer:\n")
    assert read(SemanticConfig, file, ["optimizer.lr=2"]).optimizer.lr == 2


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        read(SemanticConfig, tmp_path / "nowhere.yaml")


def test_a_setting_that_has_no_default_is_asked_for(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("steps: 3\n")
    with pytest.raises(ValueError, match="architecture is missing"):
        read(SemanticConfig, path)


def documented():
    """Return the training commands of docs/systems.md, as their words."""
    text = (Path(__file__).parents[2] / "docs" / "systems.md").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.startswith("python -m panoptic_ros train")]
    return [shlex.split(line)[3:] for line in lines]


@pytest.mark.parametrize("words", documented(), ids=lambda words: words[words.index("--run") + 1])
def test_the_commands_of_each_system_hold(words):
    parser = argparse.ArgumentParser()
    cli_train.add_arguments(parser)
    args = parser.parse_args(words[1:])
    path = share_dir() / "config" / "training" / f"{args.kind}.yaml"
    config = read(KINDS[args.kind][0], path, args.overrides)
    with torch.device("meta"):
        build(config.architecture)
    # What it leaves is what a system's model file names, and what it starts from is there.
    named = {
        part.weights.removeprefix(f"{share_dir()}/")
        for system in SYSTEMS
        for model in [load_model_config(model_of(system))]
        for part in (model.semantic, model.instances, model.network, model.head)
        if part
    }
    assert str(args.output).replace("OUT", "weights") in named
    start = config.initialize or getattr(config, "network", "")
    assert set(start.replace("OUT", "weights").split(",")) <= named
