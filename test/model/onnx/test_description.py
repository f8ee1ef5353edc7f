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
    assert (found.input.layout, found.input.color) == ("", "RGB")
    assert found.output.kind == "logits"
    np.testing.assert_array_equal(found.class_ids(CITYSCAPES), [7, 0, 26])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"task": "semantic"}, "classes is missing"),
        ({**SEMANTIC, "colour": 1}, "unknown key 'colour'"),
        ({**SEMANTIC, "task": "instance"}, "task is 'instance', a network for 'semantic'"),
        ({**SEMANTIC, "task": ["semantic"]}, r"task is \['semantic'\]; it must be text"),
        ({**SEMANTIC, "file": 3}, "file is 3; it must be text"),
        ({**SEMANTIC, "classes": []}, "at least one"),
        ({**SEMANTIC, "classes": "road"}, "classes is 'road'; it must be a list"),
        ({**SEMANTIC, "classes": [None]}, "at least one"),
        ({**SEMANTIC, "classes": [3]}, "classes is 3; it must be text or null"),
        ({**SEMANTIC, "input": {"layout": "WHC"}}, "input: layout is 'WHC'"),
        ({**SEMANTIC, "input": {"mean": [1, 2]}}, "input: mean is .*list of 3 values, each a num"),
        ({**SEMANTIC, "input": {"mean": ["a", 1, 2]}}, "input: mean is 'a'; it must be a number"),
        ({**SEMANTIC, "input": {"scale": 0}}, "input: .*must be above 0"),
        ({**SEMANTIC, "input": {"scale": ".inf"}}, "input: scale is '.inf'; it must be a number"),
        ({**SEMANTIC, "input": {"multiple_of": 0}}, "input: multiple_of is 0"),
        ({**SEMANTIC, "input": {"fit": "crop"}}, "fit is 'crop'; known: stretch, letterbox"),
        ({**SEMANTIC, "input": {"std": [1, 1, 0]}}, "input: .*must be above 0"),
        ({**SEMANTIC, "input": 3}, "input must be a mapping"),
        ({**SEMANTIC, "output": {"kind": "masks"}}, "output: kind is 'masks'"),
        ({**SEMANTIC, "output": {"boxes": "b"}}, "output: unknown key 'boxes'"),
        ({**SEMANTIC, "output": "logits"}, "output is 'logits'; it must be a mapping"),
    ],
)
def test_a_bad_description_is_named(folder, content, words):
    with pytest.raises(ValueError, match=rf"(?s)net.yaml.*{words}"):
        load_description(describe(folder, **content), "semantic")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"kind": "boxes"}, "kind is 'boxes'; known: instances, yolo"),
        ({"kind": ["yolo"]}, r"kind is \['yolo'\]; known"),
        ({"mask_frame": "pixel"}, "mask_frame is 'pixel'"),
        ({"kind": "yolo", "mask_frame": "box"}, "unknown key 'mask_frame'"),
        ({"kind": "yolo", "box_format": "xywh"}, "box_format is 'xywh'; known: cxcywh, xyxy"),
        ({"kind": "yolo", "boxes": "b"}, "name predictions, or boxes, scores and coefficients"),
        ({"kind": "yolo", "score_threshold": 0}, "score_threshold is 0.0"),
        ({"kind": "yolo", "detections": 0}, "detections is 0"),
    ],
)
def test_a_bad_detectors_output_is_named(folder, output, words):
    content = {"task": "instance", "classes": ["car"], "output": output}
    with pytest.raises(ValueError, match=rf"net.yaml: output: {words}"):
        load_description(describe(folder, **content), "instance")


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
