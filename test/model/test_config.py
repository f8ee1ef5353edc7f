import pytest
from model_file import HEAD, write

from panoptic_ros import resources
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.config import load_model_config


@pytest.mark.parametrize("file", sorted((resources.share_dir() / "config/models").glob("*.yaml")))
def test_packaged_models_are_valid(file):
    config = load_model_config(file.stem)
    assert config.name == file.stem
    assert config.labels is CITYSCAPES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "small.yaml: unknown key 'colour'; known: semantic, instances"),
        ({"semantic": {}}, "small.yaml: semantic: weights is missing"),
        ({"semantic": "town"}, "small.yaml: semantic must be a mapping"),
        ({"semantic": {"weights": "random"}}, "semantic: architecture is needed"),
        ({"head": {"weights": "./h", "architecture": HEAD}}, "head: architecture is needed .* and"),
        ({"head": {"weights": "./h", "size": 3}}, "small.yaml: head: unknown key 'size'"),
        ({"semantic": {"weights": "./s", "short_side": -1}}, "short_side is -1"),
        ({"semantic": {"weights": 3}}, "semantic: weights is 3; it must be text"),
        ({"instances": {"weights": "./s", "find_riders": 1}}, "find_riders is 1; it must be true"),
        ({"label_set": "ade20k"}, "small.yaml: label_set: unknown label set 'ade20k'"),
        ({"fusion": "best"}, "small.yaml: fusion is 'best'; known: stack, conv_head"),
        ({"seed": "x"}, "small.yaml: seed is 'x'; it must be a whole number"),
        ({"options": {"score_threshold": 2}}, "options: score_threshold is 2"),
        ({"semantic": None}, "write semantic and instances, two networks, or network alone"),
        ({"network": {"weights": "./n"}}, "write semantic and instances, two networks"),
        ({"options": {"threshold": 2}}, "options: unknown key 'threshold'"),
        ({"options": {"class_limits": [24]}}, "options: class_limits is .*; it must be a mapping"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load_model_config(write(tmp_path / "small.yaml", **changes))


def test_a_missing_key_is_named(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text("label_set: cityscapes\nsemantic: {weights: ./s}\n")
    with pytest.raises(ValueError, match=r"small.yaml: write semantic and instances"):
        load_model_config(file)


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_bytes(b"label_set: [\xff")
    with pytest.raises(ValueError, match=r"small.yaml cannot be read as YAML"):
        load_model_config(file)


def test_an_unknown_model_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model 'city'; .* has: cityscapes, coco, rand"):
        load_model_config("city")
    with pytest.raises(FileNotFoundError, match=r"no model file .*none.yaml"):
        load_model_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("net.yaml", r"write `weights: \./net.yaml` \(there is no .*net.yaml yet\)"),
        ("here.yaml", r"write `weights: \./here.yaml`"),
        ("nets/net.yml", r"write `weights: \./nets/net.yml`"),
        ("./net.onnx", r"describe the network in a .yaml .*write `weights: \./net.yaml`"),
        ("net.ONNX", r"describe the network in a .yaml .*write `weights: \./net.yaml`"),
        ("/models/net.onnx", r"describe the network in a .yaml .*write `weights: \./net.yaml`"),
        ("net.xml", r"describe the network in a .yaml .*write `weights: \./net.yaml`"),
        ("./here", r"write `weights: \./here.yaml`"),
        ("./best.pth", r"weights import ./best.pth --as best` and write `weights: best`"),
        ("model_final.pkl", r"weights import model_final.pkl --as model_final`"),
        ("./mine.safetensors", r"write `weights: \./mine`, no suffix"),
        ("./mine.json", r"write `weights: \./mine`, no suffix"),
        ("./theirs.safetensors", r"weights import ./theirs.safetensors --as theirs`"),
    ],
)
def test_a_file_that_is_no_weights_is_answered_with_what_to_write(tmp_path, weights, words):
    for name in ("mine.json", "here.yaml"):
        (tmp_path / name).touch()
    file = write(tmp_path / "small.yaml", semantic={"weights": weights})
    with pytest.raises(
        ValueError, match=rf"small.yaml: semantic: weights is '{weights}'; .*{words}"
    ):
        load_model_config(file)


@pytest.mark.parametrize(
    ("path", "words"),
    [("~nobody_here/net", "~nobody_here/net.* is of a user that"), ("net\0", "'net.* is no path")],
)
def test_what_can_be_no_path_is_named(tmp_path, path, words):
    file = write(tmp_path / "small.yaml", semantic={"weights": path})
    with pytest.raises(ValueError, match=f"small.yaml: semantic: {words}"):
        load_model_config(file)
    with pytest.raises(ValueError, match=words):
        load_model_config(f"{path}.yaml")


def test_a_link_to_itself_is_no_model_file(tmp_path):
    (tmp_path / "net.yaml").symlink_to("net.yaml")
    with pytest.raises(FileNotFoundError, match=r"there is no model file .*net\.yaml"):
        load_model_config(tmp_path / "net.yaml")


@pytest.mark.parametrize("model", ["net.yaml", "net.onnx", "net.xml"])
def test_a_network_in_place_of_a_model_file_is_answered_with_what_to_write(tmp_path, model):
    (tmp_path / "net.yaml").write_text("{file: net.onnx, task: semantic, classes: [road]}")
    with pytest.raises(ValueError, match=rf"{model} .*no model file(?s:.*)weights: .*/net.yaml"):
        load_model_config(tmp_path / model)


def test_the_path_of_a_description_is_taken(tmp_path):
    file = write(tmp_path / "small.yaml", semantic={"weights": "./net.yaml"})
    assert load_model_config(file).semantic.weights == str(tmp_path / "net.yaml")
