import pytest

from panoptic_ros.resources import share_dir
from panoptic_ros.training.runs import CONFIGS
from panoptic_ros.training.semantic import SemanticConfig
from panoptic_ros.training.settings import plain, read


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("architecture: {name: x}\noptimizer: {lr: 1e-3}\n")
    return path


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_the_packaged_settings_are_read(kind):
    frozen = ["semantic=a", "instance=b"] if kind == "head" else []
    path = share_dir() / "config" / "training" / f"{kind}.yaml"
    config = read(CONFIGS[kind], path, frozen)
    assert config.steps > 0
    # What the side file keeps can be trained from again.
    assert CONFIGS[kind].__name__ in repr(config)
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
        ("stepz=3", "unknown stepz; known: architecture"),
        ("optimizer.momentum=3", "optimizer: unknown momentum"),
        ("steps", "is not KEY=VALUE"),
        ("steps=many", "steps is 'many'; it must be of type int"),
        ("steps=0", "steps is 0; it must be >= 1"),
        ("steps=true", "steps is True; it must be of type int"),
        ("optimizer.lr=fast", "optimizer: lr is 'fast'; it must be a number"),
        ("optimizer.lr=-1", "optimizer.lr is -1.0; it must be > 0"),
        ("optimizer.name=adam", "known: adamw, sgd"),
        ("mixed_precision=fp8", "known: no, bf16, fp16"),
        ("augmentation.crop=[1]", "must be a list of 2 values"),
        ("augmentation.scale=[2, 1]", "needs 0 < smallest <= largest"),
        ("hard_fraction=0", r"must be in \]0, 1\]"),
        ("steps.x=1", "steps is no group"),
    ],
)
def test_bad_overrides_are_named(file, override, words):
    file.write_text("architecture: {name: x}\nsteps: 5\n")
    with pytest.raises(ValueError, match=words):
        read(SemanticConfig, file, [override])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        read(SemanticConfig, tmp_path / "nowhere.yaml")


def test_a_setting_that_has_no_default_is_asked_for(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("steps: 3\n")
    with pytest.raises(ValueError, match="architecture is missing"):
        read(SemanticConfig, path)
