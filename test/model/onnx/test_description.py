import numpy as np
import pytest
from exported import THINGS, describe

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.onnx import load_description

SEMANTIC = {"task": "semantic", "classes": ["road", None, "car"]}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.onnx").touch()
    return tmp_path


def test_what_is_not_said_has_the_usual_value(folder):
    found = load_description(describe(folder, **SEMANTIC), "semantic")
    assert found.file == folder / "net.onnx"
    assert (found.input.layout, found.input.color) == ("NCHW", "RGB")
    assert found.output.kind == "logits"
    np.testing.assert_array_equal(found.class_ids(CITYSCAPES), [7, 0, 26])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"task": "semantic"}, "classes is missing"),
        ({**SEMANTIC, "colour": 1}, "unknown key 'colour'"),
        ({**SEMANTIC, "task": "instance"}, "task is 'instance', a network for 'semantic'"),
        ({**SEMANTIC, "classes": []}, "must be a list"),
        ({**SEMANTIC, "classes": [None]}, "at least one"),
        ({**SEMANTIC, "output": {"kind": "labels"}}, "each index needs a class"),
        ({**SEMANTIC, "classes": [3]}, "holds 3"),
        ({**SEMANTIC, "input": {"layout": "HWC"}}, "input: layout is 'HWC'"),
        ({**SEMANTIC, "input": {"mean": [1, 2]}}, "input: mean is .*three numbers"),
        ({**SEMANTIC, "input": {"std": [1, 1, 0]}}, "input: .*must be above 0"),
        ({**SEMANTIC, "input": 3}, "input must be a mapping"),
        ({**SEMANTIC, "output": {"kind": "masks"}}, "output: kind is 'masks'"),
        ({**SEMANTIC, "output": {"boxes": "b"}}, "output: unknown key 'boxes'"),
    ],
)
def test_a_bad_description_is_named(folder, content, words):
    with pytest.raises(ValueError, match=rf"(?s)net.yaml.*{words}"):
        load_description(describe(folder, **content), "semantic")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"net.yaml"):
        load_description(tmp_path / "net.yaml", "semantic")
    with pytest.raises(FileNotFoundError, match=r"no file .*net.onnx"):
        load_description(describe(tmp_path, **SEMANTIC), "semantic")


@pytest.mark.parametrize(
    ("task", "classes", "words"),
    [
        ("semantic", ["lion"], "'lion' is none of label set"),
        ("instance", [*THINGS, "road"], "'road' is no thing"),
    ],
)
def test_a_class_that_does_not_fit_is_named(folder, task, classes, words):
    found = load_description(describe(folder, task=task, classes=classes), task)
    with pytest.raises(ValueError, match=words):
        found.class_ids(CITYSCAPES)
