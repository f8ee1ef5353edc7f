import hashlib
import json

import pytest
import safetensors.torch
import torch
from torch import nn

from panoptic_ros import checkpoints
from panoptic_ros.networks import build

# Batch norm, integer buffers and a bias in a network that saves in no time.
ARCHITECTURE = {"name": "panoptic_head", "class_ids": [24, 26], "num_semantic": 3}
PROVENANCE = {
    "label_set": "cityscapes",
    "command": "train head",
    "data": {"town": [0, 100]},
    "seed": 7,
    "scores": {"pq": 50.5},
}


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = build(ARCHITECTURE)
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    return head


def save(module, path, **changes):
    checkpoints.save(module, path, **({"architecture": ARCHITECTURE} | PROVENANCE | changes))


@pytest.fixture
def saved(tmp_path, head):
    save(head, tmp_path / "v1.5" / "head")
    return tmp_path / "v1.5" / "head"


def test_a_network_comes_back_with_all_that_is_said_of_it(saved, head):
    loaded, side = checkpoints.load(saved)
    assert {f.name for f in saved.parent.iterdir()} == {"head.json", "head.safetensors"}
    assert not loaded.training
    for name, tensor in head.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    assert side == side | PROVENANCE | {"architecture": ARCHITECTURE, "half_precision": False}


def test_batch_norm_and_its_counters_come_back(tmp_path):
    architecture = {"name": "deeplabv3plus_mobilenetv2", "num_classes": 4, "decoder_channels": 8}
    network = build(architecture).train()
    network(torch.randn(2, 3, 64, 64))
    save(network, tmp_path / "semantic", architecture=architecture)
    loaded, _ = checkpoints.load(tmp_path / "semantic")
    assert loaded.state_dict()["classifier.project.1.num_batches_tracked"] == 1
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(image), network.eval()(image))


def test_half_precision_halves_the_file_and_comes_back_as_float32(tmp_path, head):
    save(head, tmp_path / "half", half_precision=True)
    stored = safetensors.torch.load_file(tmp_path / "half.safetensors")
    assert {t.dtype for t in stored.values()} == {torch.float16}
    loaded, side = checkpoints.load(tmp_path / "half")
    assert side["half_precision"] is True
    for name, tensor in head.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[name], tensor.half().float())


def test_saving_again_replaces_both_files(saved, head):
    nn.init.zeros_(head.cnn(24).mix.bias)
    save(head, saved, seed=8)
    loaded, side = checkpoints.load(saved)
    assert side["seed"] == 8
    assert loaded.cnn(24).mix.bias == 0
    assert len(list(saved.parent.iterdir())) == 2


def test_what_float16_cannot_hold_is_not_written(tmp_path, head):
    nn.init.constant_(head.cnn(26).mix.bias, 70000.0)
    with pytest.raises(ValueError, match=r"cnns.26.mix.bias .*float16: .* 70000"):
        save(head, tmp_path / "head", half_precision=True)
    nn.init.constant_(head.cnn(26).mix.bias, float("nan"))
    with pytest.raises(ValueError, match="float32: its largest value is nan"):
        save(head, tmp_path / "head")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, head):
    (tmp_path / "head.safetensors").mkdir()
    with pytest.raises(OSError, match=r"head.safetensors"):
        save(head, tmp_path / "head")
    assert [f.name for f in tmp_path.iterdir()] == ["head.safetensors"]


def test_a_score_that_is_no_number_is_not_written(tmp_path, head):
    with pytest.raises(ValueError, match="nan"):
        save(head, tmp_path / "head", scores={"pq": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_missing_files_are_named(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*nothing: .*nothing.json"):
        checkpoints.load(tmp_path / "nothing")
    saved.with_name("head.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"head.safetensors is missing"):
        checkpoints.load(saved)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"",
    ],
    ids=["truncated", "one bit", "empty"],
)
def test_damaged_tensors_are_not_opened(saved, damage):
    file = saved.with_name("head.safetensors")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=r"head.safetensors is damaged or is another file"):
        checkpoints.load(saved)


@pytest.mark.parametrize(
    "content",
    [
        b"not tensors",
        (1 << 62).to_bytes(8, "little") + b"{}",
        (1 << 20).to_bytes(8, "little") + b'{"a":',
        (80).to_bytes(8, "little")
        + b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}  ',
        # Numbers of six bits: safetensors knows them, torch does not.
        (58).to_bytes(8, "little")
        + b'{"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}abc',
    ],
    ids=[
        *("text", "header beyond memory", "header beyond the file", "tensor beyond the file"),
        "type",
    ],
)
def test_a_file_of_another_format_is_named(saved, content):
    resign(saved, content)
    with pytest.raises(ValueError, match=r"head.safetensors is not a safetensors file"):
        checkpoints.load(saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 200_000, "cannot be read as JSON: it is nested too deeply"),
        ("[]", "must be a mapping"),
        ('{"architecture": {}}', "label_set is missing"),
        ('{"architecture": 1, "label_set": "", "sha256": ""}', "architecture is 1; it must be"),
        ('{"architecture": {}, "label_set": [], "sha256": ""}', "label_set is .*; it must be text"),
    ],
)
def test_a_damaged_side_file_is_named(saved, content, message):
    saved.with_name("head.json").write_text(content)
    with pytest.raises(ValueError, match=rf"head.json:? {message}|head.json: .*{message}"):
        checkpoints.load(saved)


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        ({"name": "unet"}, "unknown architecture 'unet'"),
        ({"name": ["unet"]}, r"unknown architecture \['unet'\]"),
        ({"name": {}}, "unknown architecture {}"),
        ({}, "unknown architecture None"),
        (ARCHITECTURE | {"num_semantic": "many"}, "architecture 'panoptic_head': "),
        (ARCHITECTURE | {"num_semantic": -5}, "architecture 'panoptic_head': "),
        (ARCHITECTURE | {"num_semantic": 10**12}, "architecture 'panoptic_head': "),
        (ARCHITECTURE | {"num_semantic": 10**40}, "architecture 'panoptic_head': "),
        (ARCHITECTURE | {"class_ids": None}, "architecture 'panoptic_head': "),
        (ARCHITECTURE | {"class_ids": [24] * 10**5}, "it has more than 2000 modules"),
        (ARCHITECTURE | {"colour": 1}, "architecture 'panoptic_head': .*colour"),
        (
            {"name": "deeplabv3plus_mobilenetv2", "num_classes": 19, "decoder_channels": 10**7},
            "has 1.4e.15 parameters, the limit is",
        ),
    ],
)
def test_an_architecture_that_cannot_be_is_named_with_its_file(saved, architecture, words):
    edit(saved, architecture=architecture)
    for _ in range(2):  # what was found to be is not measured again
        with pytest.raises(ValueError, match=rf"head.json: .*{words}"):
            checkpoints.load(saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_values_that_are_not_finite_are_refused_as_they_are_at_saving(saved, value, dtype):
    tensors = safetensors.torch.load_file(saved.with_name("head.safetensors"))
    tensors["cnns.24.mix.bias"] = torch.full((1,), value, dtype=dtype)
    resign(saved, safetensors.torch.save(tensors))
    with pytest.raises(ValueError, match=r"head.safetensors: tensors \(1\): cnns.24.mix.bias with"):
        checkpoints.load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("cnns.24.mix.bias"), r"missing tensors \(1\): cnns.24.mix.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), r"superfluous tensors \(1\): extra"),
        (
            lambda t: t.update({"cnns.26.mix.bias": torch.zeros(2)}),
            r"misshapen tensors \(1\): cnns.26.mix.bias \[2\] instead of \[1\]",
        ),
    ],
    ids=["missing", "superfluous", "misshapen"],
)
def test_every_tensor_is_accounted_for(saved, change, message):
    tensors = safetensors.torch.load_file(saved.with_name("head.safetensors"))
    change(tensors)
    resign(saved, safetensors.torch.save(tensors))
    with pytest.raises(ValueError, match=rf"head.safetensors does not fit: {message}"):
        checkpoints.load(saved)


def edit(path, **changes):
    """Change entries of a side file."""
    file = path.with_name(path.name + ".json")
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def resign(path, content):
    """Exchange the tensors together with their checksum."""
    path.with_name(path.name + ".safetensors").write_bytes(content)
    edit(path, sha256=hashlib.sha256(content).hexdigest())
