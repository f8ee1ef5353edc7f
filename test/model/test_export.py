from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from model_file import SMALL, write
from PIL import Image
from shared_network import architecture

from panoptic_ros.__main__ import main
from panoptic_ros.model.config import load_model_config
from panoptic_ros.model.export import _make_engine, _model, export
from panoptic_ros.model.onnx.runtimes import has_tensorrt
from panoptic_ros.pipeline import PanopticPipeline

SIZE = (64, 128)
IMAGE = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8)
REGIONS = {
    "name": "mask_rcnn",
    "box_channels": 32,
    "mask_channels": [16],
    "proposals": 40,
    "detections": 10,
}
YOLACT = {"name": "yolact", "channels": 16, "detections": 10, "score_threshold": 0.0}


def model(folder, instances):
    """Write a model file: two networks, or a shared one with some instance head."""
    file = folder / "small.yaml"
    options = {"score_threshold": 0.0, "stuff_area_limit": 0}
    if instances is None:
        return write(file, options=options)
    network = {"weights": "random", "architecture": architecture(instances, channels=16)}
    # Of a seed whose best scores differ by more than rounding.
    more = {"network": network, "options": options, "seed": 5}
    return write(file, semantic=None, instances=None, **more)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Return a model file of two networks and what it was exported to."""
    folder = tmp_path_factory.mktemp("two")
    file = model(folder, None)
    return file, export(load_model_config(file), folder / "out", size=SIZE)


@pytest.mark.parametrize("instances", [None, REGIONS, YOLACT], ids=["two", "regions", "yolact"])
def test_the_file_gives_what_torch_gives_behind_the_same_pipeline(tmp_path, two, instances):
    file, exported = two
    if instances is not None:
        file = model(tmp_path, instances)
        exported = export(load_model_config(file), tmp_path / "out", size=SIZE)
    assert {f.name for f in exported.parent.iterdir()} == {
        "small.yaml",
        "small_network.yaml",
        "small.onnx",
    }
    pipeline, torchs = (PanopticPipeline.load(str(f), device="cpu") for f in (exported, file))
    assert pipeline.fusion_name == torchs.fusion_name == "conv_head"
    found, expected = pipeline.run(IMAGE), torchs.run(IMAGE)
    assert (found.panoptic.labels == expected.panoptic.labels).mean() >= 0.9999
    assert len(found.instances) == len(expected.instances) > 0
    np.testing.assert_allclose(found.instances.scores, expected.instances.scores, atol=1e-4)
    np.testing.assert_allclose(found.instances.boxes, expected.instances.boxes, atol=0.01)


def test_a_frame_of_other_proportions_keeps_them(two):
    wide = np.zeros((40, 160, 3), np.uint8)
    result = PanopticPipeline.load(str(two[1]), device="cpu").run(wide)
    assert result.panoptic.labels.shape == (40, 160)
    # 32 of the 64 rows hold the image.
    assert result.semantic.logits.shape == (19, 8, 32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "model 'small' fixes no size; choose one by --size"),
        ({"semantic": {**SMALL["semantic"], "short_side": 64}}, "different sizes"),
    ],
)
def test_a_size_that_is_not_clear_is_asked_for(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        export(load_model_config(write(tmp_path / "small.yaml", **changes)), tmp_path / "out")


def test_a_shared_network_needs_whole_strides(tmp_path):
    config = load_model_config(model(tmp_path, YOLACT))
    with pytest.raises(ValueError, match="size is 100x64; both sides must be multiples of 32"):
        export(config, tmp_path / "out", size=(64, 100))


def test_the_command_names_the_model_file(tmp_path, capsys):
    command = ["export", "--size", "64x32", "--out", str(tmp_path / "out"), "--weights"]
    assert main([*command, str(model(tmp_path, YOLACT))]) == 0
    file = capsys.readouterr().out.strip()
    assert file == str(tmp_path / "out" / "small.yaml")
    network = yaml.safe_load(Path(file).read_text())["network"]
    assert network["weights"] == "./small_network.yaml"
    assert main([*command, file]) == 2
    assert f"{file} is the model file itself; choose" in capsys.readouterr().err


def test_what_is_exported_already_is_refused(two, tmp_path, capsys):
    command = ["export", "--weights", str(two[1]), "--out", str(tmp_path)]
    for size in ([], ["--size", "128x64"]):
        assert main([*command, *size]) == 2
        assert "is an ONNX file already" in capsys.readouterr().err


@pytest.mark.parametrize("half", [True, False])
def test_the_model_file_keeps_the_precision(tmp_path, half):
    config = load_model_config(write(tmp_path / "small.yaml", half=half))
    assert _model(config, "net.yaml", "tensorrt").get("half", True) == half


@pytest.fixture
def pictures(tmp_path):
    """Return a folder with two pictures, one of them of other proportions."""
    folder = tmp_path / "pictures"
    for name, image in (("a/left.png", IMAGE), ("b.jpg", IMAGE[:, :64])):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


def assert_rounded_after_activations(graph):
    """Before ReLU6 the range is many times as wide."""
    source = {name: node.op_type for node in graph.node for name in node.output}
    activations = [node for node in graph.node if node.op_type in ("Clip", "Relu")]
    assert not any(source.get(node.input[0]) == "DequantizeLinear" for node in activations)


def test_int8_computes_all_convolutions_in_integers(tmp_path, pictures, capsys):
    file = model(tmp_path, None)
    command = ["export", "--weights", str(file), "--size", "128x64", "--out", str(tmp_path / "out")]
    assert main([*command, "--int8", "--calibrate", str(pictures)]) == 0
    exported = capsys.readouterr().out.strip()
    graph = onnx.load(str(Path(exported).with_suffix(".onnx"))).graph
    source = {name: node.op_type for node in graph.node for name in node.output}
    used = [name for n in graph.node if n.op_type == "Conv" for name in n.input[:2]]
    assert used
    assert {source.get(name) for name in used} == {"DequantizeLinear"}
    assert_rounded_after_activations(graph)
    found = PanopticPipeline.load(exported, device="cpu", engine="onnx").run(IMAGE)
    expected = PanopticPipeline.load(str(file), device="cpu").run(IMAGE)
    difference = (found.semantic.logits - expected.semantic.logits).abs().mean()
    assert 0 < difference < 0.2 * expected.semantic.logits.std()


def test_tensorrt_takes_an_onnx_file_whose_ranges_lie_around_zero(
    tmp_path, pictures, capsys, caplog
):
    command = ["export", "--weights", str(model(tmp_path, YOLACT)), "--size", "64x32"]
    command += ["--format", "tensorrt", "--int8", "--calibrate", str(pictures)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    exported = Path(capsys.readouterr().out.strip())
    assert yaml.safe_load(exported.read_text())["engine"] == "tensorrt"
    graph = onnx.load(str(exported.with_suffix(".onnx"))).graph
    assert_rounded_after_activations(graph)
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    places = [n.input[2] for n in graph.node if n.op_type == "QuantizeLinear"]
    assert places
    assert all(values[place].dtype == np.int8 and not values[place].any() for place in places)
    if not has_tensorrt(torch.device("cuda")):
        assert "there is no TensorRT here" in caplog.text


def test_tensorrt_makes_its_engine_where_it_is(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("panoptic_ros.model.export.has_tensorrt", lambda device: True)
    monkeypatch.setattr("panoptic_ros.model.export.open_graph", lambda *args: opened.append(args))
    _make_engine(tmp_path / "a.onnx")
    assert opened == [(tmp_path / "a.onnx", torch.device("cuda"), "tensorrt")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--int8"], "--int8 and --calibrate DIR go together"),
        (["--calibrate", "."], "--int8 and --calibrate DIR go together"),
        (["--int8", "--calibrate", "{empty}"], "there are no pictures in"),
    ],
)
def test_int8_needs_pictures(tmp_path, options, words, capsys):
    options = [option.format(empty=tmp_path) for option in options]
    assert main(["export", *options, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "words"),
    [
        *((size, "write WIDTHxHEIGHT") for size in ("512", "x64", "0x64", "64x64x3")),
        ("99999x99999", "99999x99999 is more than"),
    ],
)
def test_a_size_is_width_and_height(tmp_path, size, words, capsys):
    with pytest.raises(SystemExit):
        main(["export", "--size", size, "--out", str(tmp_path)])
    assert words in capsys.readouterr().err
