from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from exported import describe, export
from model_file import HEAD, SMALL, write
from shared_network import ONE_STAGE, architecture
from torch import nn

from panoptic_ros import checkpoints, resources
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.build import build_predictors, identities
from panoptic_ros.model.config import NetworkConfig, load_model_config
from panoptic_ros.model.predictors import Limits
from panoptic_ros.model.shared_predictor import SharedPredictor
from panoptic_ros.networks import build
from panoptic_ros.pipeline import PanopticPipeline

SAVED = ("semantic", "instances", "head")
IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)


def tensors(predictors):
    semantic, found = predictors[0](IMAGE)
    return semantic.logits, found.boxes, found.masks


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
    networks, head = build_predictors(config, "cpu")
    assert networks.semantic.limits == Limits(64, 90)
    assert networks.instances.limits == Limits(0, 0)
    assert head.class_ids == (24, 25, 26, 27, 28, 31, 32, 33)


def test_a_model_needs_no_head(tmp_path):
    config = load_model_config(write(tmp_path / "small.yaml", head=None, fusion="stack"))
    assert build_predictors(config, "cpu")[1] is None


def untrained(part, config):
    """Build a part of a small model, as its seed makes it."""
    torch.manual_seed(config.seed)
    return build(HEAD if part == "head" else SMALL[part]["architecture"]).eval()


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
    config = load_model_config(write(tmp_path / "small.yaml"))
    trained = build_predictors(config, "cpu")
    for part in SAVED:
        checkpoint(tmp_path / "w", part, untrained(part, config))
    parts = {part: {"weights": f"./w/{part}"} for part in SAVED}
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
    small = load_model_config(write(tmp_path / "s.yaml"))
    checkpoint(tmp_path, "semantic", untrained("semantic", small), label_set="ade20k")
    config = load_model_config(write(tmp_path / "a.yaml", semantic={"weights": "./semantic"}))
    with pytest.raises(ValueError, match="trained for label set 'ade20k', the model's is 'city"):
        build_predictors(config, "cpu")
    checkpoint(tmp_path, "head", untrained("head", small))
    config = load_model_config(write(tmp_path / "b.yaml", semantic={"weights": "./head"}))
    with pytest.raises(ValueError, match="'b', semantic: needs a DeepLabV3Plus, not a PanopticH"):
        build_predictors(config, "cpu")


def test_a_head_for_other_classes_is_refused(tmp_path):
    head = {"weights": "random", "architecture": HEAD | {"class_ids": [24]}}
    config = load_model_config(write(tmp_path / "small.yaml", head=head))
    with pytest.raises(ValueError, match=r"'small': the head is for classes \(24,\)"):
        build_predictors(config, "cpu")


def test_an_unknown_architecture_is_named_with_its_model(tmp_path):
    entry = {"weights": "random", "architecture": {"name": "unet"}}
    config = load_model_config(write(tmp_path / "small.yaml", semantic=entry))
    with pytest.raises(ValueError, match="'small', semantic: unknown architecture 'unet'"):
        build_predictors(config, "cpu")


def test_weights_are_found_by_name_in_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PANOPTIC_WEIGHTS", str(tmp_path / "own"))
    small = load_model_config(write(tmp_path / "small.yaml"))
    semantic = build_predictors(small, "cpu")[0].semantic
    checkpoint(tmp_path / "own", "semantic", untrained("semantic", small))
    config = load_model_config(write(tmp_path / "own.yaml", semantic={"weights": "semantic"}))
    assert config.semantic.weights == str(tmp_path / "own" / "semantic")
    loaded = build_predictors(config, "cpu")[0].semantic
    torch.testing.assert_close(loaded(IMAGE).logits, semantic(IMAGE).logits)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("cityscapes", "deeplabv3plus_mobilenetv2_cityscapes"),
        ("coco", "deeplabv3plus_mobilenetv2_cityscapes"),
    ],
)
def test_public_weights_that_are_not_here_come_with_the_command_that_fetches_them(
    tmp_path, model, name
):
    config = replace(
        load_model_config(model), semantic=NetworkConfig(str(tmp_path / "weights" / name))
    )
    with pytest.raises(
        FileNotFoundError, match=f"run `python -m panoptic_ros weights fetch {name}"
    ):
        build_predictors(config, "cpu")


def test_a_mapped_network_finds_riders_where_the_model_says_so(tmp_path):
    architecture = SMALL["instances"]["architecture"] | {
        "num_classes": 3,
        "class_ids": [24, 0, 33],
        "score_threshold": 0.0,
        "detections": 100,
    }
    for find_riders in (False, True):
        entry = {"weights": "random", "architecture": architecture, "find_riders": find_riders}
        config = load_model_config(write(tmp_path / "mapped.yaml", instances=entry))
        instances = build_predictors(config, "cpu")[0].instances
        assert instances.finds_riders is find_riders
        assert set(instances(IMAGE).class_ids.tolist()) <= {24, 25, 33}


class Colours(nn.Module):
    """Score three classes by a pixel's red, green and blue."""

    def forward(self, image):
        return image * 10


def test_an_onnx_network_is_the_semantic_half(tmp_path):
    torch.onnx.export(
        Colours(),
        torch.zeros(1, 3, 64, 96),
        tmp_path / "colours.onnx",
        input_names=["image"],
        output_names=["logits"],
        dynamo=False,
    )
    description = {
        "file": "colours.onnx",
        "task": "semantic",
        "output": {"name": "logits", "kind": "logits"},
        "classes": ["road", "car", "sky"],
    }
    (tmp_path / "net.yaml").write_text(yaml.safe_dump(description))
    model = write(tmp_path / "small.yaml", semantic={"weights": "./net.yaml"})
    semantic, instances = build_predictors(load_model_config(model), "cpu")[0](IMAGE)
    found = semantic.channels
    names = ("road", "car", "sky")
    channels = [CITYSCAPES.classes.index(CITYSCAPES.by_name[name]) for name in names]
    best = torch.tensor(channels)[torch.from_numpy(IMAGE.astype(int)).argmax(2)]
    is_clear = np.sort(IMAGE, axis=2)[..., 2] > np.sort(IMAGE, axis=2)[..., 1]
    assert torch.equal(found[is_clear].long(), best[is_clear])
    assert instances.masks.shape[1:] == (28, 28)


SHARED = architecture({**ONE_STAGE, "detections": 5, "score_threshold": 0.0})


def test_a_shared_network_stands_for_both(tmp_path):
    entry = {"weights": "random", "architecture": SHARED, "short_side": 64}
    model = write(tmp_path / "shared.yaml", semantic=None, instances=None, network=entry)
    networks, head = build_predictors(load_model_config(model), "cpu")
    assert isinstance(networks, SharedPredictor)
    assert head is not None
    laps = []
    semantic, instances = networks(IMAGE, laps.append)
    assert laps == ["instances", "semantic"]
    assert semantic.logits.shape == (19, 16, 24)
    assert set(instances.class_ids.tolist()) <= {c.id for c in CITYSCAPES.things}


def test_a_shared_network_for_other_classes_is_refused(tmp_path):
    entry = {"weights": "random", "architecture": SHARED | {"num_classes": 5}}
    model = write(tmp_path / "shared.yaml", semantic=None, instances=None, network=entry)
    with pytest.raises(ValueError, match="model 'shared', network: the network has 5 classes"):
        build_predictors(load_model_config(model), "cpu")


def described(folder):
    """Write a network of two classes as ONNX, and return the name of its description."""
    network = nn.Conv2d(3, 2, 1)
    axes = {"image": {2: "h", 3: "w"}}
    export(network, torch.zeros(1, 3, 32, 32), folder, ["logits"], dynamic_axes=axes)
    describe(folder, task="semantic", classes=["road", None])
    return "./net.yaml"


def test_a_head_is_left_out_where_a_half_is_not_what_it_was_trained_for(tmp_path, caplog):
    town = yaml.safe_load((resources.share_dir() / "config/models/town.yaml").read_text())
    town["semantic"] = {"weights": described(tmp_path)}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(town))
    pipeline = PanopticPipeline.load(str(tmp_path / "mine.yaml"), device="cpu")
    assert pipeline.head is None
    assert pipeline.fusion_name == "stack"
    assert "head head was not trained for the semantic network net.yaml" in caplog.text


@pytest.mark.parametrize("change", ["", "semantic", "instances"])
def test_a_head_says_for_which_networks_it_was_trained(tmp_path, caplog, change):
    parts = {part: build(SMALL[part]["architecture"]) for part in ("semantic", "instances")}
    for part, network in parts.items():
        checkpoint(tmp_path, part, network)
    config = load_model_config(
        write(tmp_path / "small.yaml", **{part: {"weights": f"./{part}"} for part in SAVED})
    )
    checkpoint(tmp_path, "head", build(HEAD), trained_for=identities(config))
    if change:
        nn.init.normal_(next(parts[change].parameters()))
        checkpoint(tmp_path, change, parts[change])
    head = build_predictors(config, "cpu")[1]
    assert (head is None) == bool(change)
    assert (f"not trained for the {change} network" in caplog.text) == bool(change)
