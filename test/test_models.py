import numpy as np
import pytest
import torch
import yaml

from panoptic_ros import checkpoints, resources
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.models import build_predictors, load_model_config

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
HEAD = {"name": "panoptic_head", "class_ids": [24, 25, 26, 27, 28, 31, 32, 33]}
SMALL = {
    "label_set": "cityscapes",
    "seed": 3,
    "semantic": {
        "weights": "random",
        "architecture": {
            "name": "deeplabv3plus_mobilenetv2",
            "num_classes": 19,
            "decoder_channels": 16,
        },
    },
    "instances": {
        "weights": "random",
        "architecture": {
            "name": "mask_rcnn",
            "backbone": "mobilenet_v2_fpn",
            "num_classes": 8,
            "fpn_channels": 16,
            "box_channels": 32,
            "mask_channels": [16],
            "proposals": 40,
            "detections": 10,
        },
    },
    "head": {"weights": "random", "architecture": HEAD},
    "fusion": "conv_head",
    "options": {"score_threshold": 0.25, "class_limits": {24: 3}},
}


def write(path, **changes):
    path.write_text(yaml.safe_dump(SMALL | changes))
    return path


def tensors(predictors):
    semantic, instances, _ = predictors
    found = instances(IMAGE)
    return semantic(IMAGE).logits, found.boxes, found.masks


@pytest.mark.parametrize("file", sorted((resources.share_dir() / "config/models").glob("*.yaml")))
def test_packaged_models_are_valid(file):
    config = load_model_config(file.stem)
    assert config.name == file.stem
    assert config.labels is CITYSCAPES


def test_random_weights_come_from_the_seed_and_leave_the_callers_random_state(tmp_path):
    config = load_model_config(write(tmp_path / "small.yaml"))
    state = torch.get_rng_state()
    first = build_predictors(config, "cpu")
    assert torch.equal(torch.get_rng_state(), state)
    again = build_predictors(config, "cpu")
    assert all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(again), strict=True))
    other = load_model_config(write(tmp_path / "other.yaml", seed=4))
    assert not torch.equal(tensors(build_predictors(other, "cpu"))[0], tensors(first)[0])


def test_every_key_arrives(tmp_path):
    semantic = SMALL["semantic"] | {"short_side": 64, "long_side": 90}
    config = load_model_config(write(tmp_path / "small.yaml", semantic=semantic))
    assert (config.name, config.fusion, config.seed) == ("small", "conv_head", 3)
    assert config.options.score_threshold == 0.25
    assert config.options.class_limits == {24: 3}
    predictor, instances, head = build_predictors(config, "cpu")
    assert (predictor.short_side, predictor.long_side) == (64, 90)
    assert (instances.short_side, instances.long_side) == (0, 0)
    assert head.class_ids == (24, 25, 26, 27, 28, 31, 32, 33)


def test_a_model_needs_no_head(tmp_path):
    config = load_model_config(write(tmp_path / "small.yaml", head=None, fusion="stack"))
    assert build_predictors(config, "cpu")[2] is None


def checkpoint(folder, part, network, **changes):
    checkpoints.save(
        network,
        folder / part,
        **{
            "architecture": SMALL[part]["architecture"],
            "label_set": "cityscapes",
            "command": "",
            "data": "",
            "seed": 0,
            "scores": {},
        }
        | changes,
    )


def test_weights_lie_beside_the_model_file(tmp_path):
    trained = build_predictors(load_model_config(write(tmp_path / "small.yaml")), "cpu")
    semantic, instances, head = trained
    checkpoint(tmp_path / "w", "semantic", semantic.network)
    checkpoint(tmp_path / "w", "instances", instances.network)
    checkpoint(tmp_path / "w", "head", head)
    parts = {part: {"weights": f"./w/{part}"} for part in ("semantic", "instances", "head")}
    loaded = build_predictors(load_model_config(write(tmp_path / "own.yaml", **parts)), "cpu")
    for a, b in zip(tensors(loaded), tensors(trained), strict=True):
        torch.testing.assert_close(a, b)


def test_weights_are_found_by_name_in_the_package(tmp_path):
    entry = {"weights": "nowhere/semantic"}
    config = load_model_config(write(tmp_path / "small.yaml", semantic=entry))
    expected = resources.share_dir() / "weights" / "nowhere" / "semantic"
    assert config.semantic.weights == str(expected)
    with pytest.raises(FileNotFoundError, match=rf"'small', semantic: .*{expected}.json is miss"):
        build_predictors(config, "cpu")


def test_weights_for_another_label_set_or_part_are_refused(tmp_path):
    semantic, _, head = build_predictors(load_model_config(write(tmp_path / "s.yaml")), "cpu")
    checkpoint(tmp_path, "semantic", semantic.network, label_set="ade20k")
    config = load_model_config(write(tmp_path / "a.yaml", semantic={"weights": "./semantic"}))
    with pytest.raises(ValueError, match="trained for label set 'ade20k', the model's is 'city"):
        build_predictors(config, "cpu")
    checkpoint(tmp_path, "head", head)
    config = load_model_config(write(tmp_path / "b.yaml", semantic={"weights": "./head"}))
    with pytest.raises(ValueError, match="'b', semantic: needs a DeepLabV3Plus, not a PanopticH"):
        build_predictors(config, "cpu")


def test_a_head_for_other_classes_is_refused(tmp_path):
    head = {"weights": "random", "architecture": HEAD | {"class_ids": [24]}}
    config = load_model_config(write(tmp_path / "small.yaml", head=head))
    with pytest.raises(ValueError, match=r"'small': the head is for classes \(24,\)"):
        build_predictors(config, "cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "small.yaml: unknown key 'colour'; known: label_set, semantic"),
        ({"semantic": {}}, "small.yaml: semantic: weights is missing"),
        ({"semantic": "town"}, "small.yaml: semantic must be a mapping"),
        ({"semantic": {"weights": "random"}}, "semantic: architecture is needed"),
        ({"head": {"weights": "./h", "architecture": HEAD}}, "head: architecture is needed .* and"),
        ({"head": {"weights": "./h", "size": 3}}, "small.yaml: head: unknown key 'size'"),
        ({"semantic": {"weights": "./s", "short_side": -1}}, "short_side is -1"),
        ({"semantic": {"weights": 3}}, "semantic: weights is 3"),
        ({"label_set": "ade20k"}, "small.yaml: label_set: unknown label set 'ade20k'"),
        ({"fusion": "best"}, "small.yaml: fusion is 'best'; known: stack, conv_head"),
        ({"seed": "x"}, "small.yaml: seed is 'x'"),
        ({"options": {"score_threshold": 2}}, "options: score_threshold is 2"),
        ({"options": {"threshold": 2}}, "options: unknown key 'threshold'"),
        ({"options": {"class_limits": [24]}}, "options: class_limits must be a mapping"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load_model_config(write(tmp_path / "small.yaml", **changes))


def test_a_missing_key_is_named(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text("label_set: cityscapes\nsemantic: {weights: random}\n")
    with pytest.raises(ValueError, match=r"small.yaml: instances is missing"):
        load_model_config(file)


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_bytes(b"label_set: [\xff")
    with pytest.raises(ValueError, match=r"small.yaml is not YAML"):
        load_model_config(file)


def test_an_unknown_architecture_is_named_with_its_model(tmp_path):
    entry = {"weights": "random", "architecture": {"name": "unet"}}
    config = load_model_config(write(tmp_path / "small.yaml", semantic=entry))
    with pytest.raises(ValueError, match="'small', semantic: unknown architecture 'unet'"):
        build_predictors(config, "cpu")


def test_an_unknown_model_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model 'city'; .* has: random, town"):
        load_model_config("city")
    with pytest.raises(FileNotFoundError, match=r"no model file .*none.yaml"):
        load_model_config(tmp_path / "none.yaml")
