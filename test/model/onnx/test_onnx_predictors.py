import re
import sys
import textwrap
import warnings

import numpy as np
import onnx
import pytest
import torch
import yaml
from exported import THINGS, deeplab, describe, export, mask_rcnn
from onnx import TensorProto, helper
from scenes import instances_of
from torch import nn

from panoptic_ros import resources
from panoptic_ros.fusion import FusionOptions, make_strategy
from panoptic_ros.fusion.stack import stack
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.onnx import (
    OnnxGraph,
    OnnxInstancePredictor,
    OnnxSemanticPredictor,
    load_description,
)
from panoptic_ros.model.predictors import OWN_SIZE, InstancePredictor, Limits, SemanticPredictor
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.prediction import SemanticPrediction

CPU = torch.device("cpu")
NAMES = [c.name for c in CITYSCAPES.classes]
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
IMAGE = np.random.default_rng(0).integers(0, 256, (65, 96, 3), np.uint8)


class Echo(nn.Module):
    """Return the input's first channels, in front: what the predictor made of the image."""

    def __init__(self, channels=3):
        super().__init__()
        self.channels = channels

    def forward(self, image):
        image = image if image.shape[1] == 3 else image.permute(0, 3, 1, 2)
        return image[:, : self.channels].float() + 0.0


class Found(nn.Module):
    """Detect two fixed instances, masks over the whole image."""

    def forward(self, image):
        h, w = image.shape[2:]
        boxes = torch.tensor([[0.0, 0.0, 8.0, 16.0], [16.0, 8.0, 32.0, 40.0]])
        left = (torch.arange(w) < 8).float().expand(h, w)
        masks = torch.stack([torch.zeros(h, w), left])[:, None] + image.mean() * 0
        return boxes.flip(0), torch.tensor([0, 2]), torch.tensor([0.4, 0.9]), masks


def graph(description, limits=OWN_SIZE):
    return OnnxGraph(description, CITYSCAPES, CPU, limits)


def _semantic(folder, short_side=0, **content):
    content = {"task": "semantic", "classes": NAMES, **content}
    description = load_description(describe(folder, **content), "semantic")
    return OnnxSemanticPredictor(graph(description, Limits(short_side)))


def test_an_exported_deeplab_gives_what_torch_gives(tmp_path):
    network = deeplab()
    axes = {"image": {2: "h", 3: "w"}}
    export(network, torch.zeros(1, 3, 64, 64), tmp_path, ["logits"], dynamic_axes=axes)
    ours = SemanticPredictor(network, CITYSCAPES, Limits(48))(IMAGE)
    theirs = _semantic(tmp_path, 48, input={**IMAGENET, "fit": "stretch"})(IMAGE)
    assert theirs.image_size == (65, 96)
    torch.testing.assert_close(theirs.logits, ours.logits, atol=1e-4, rtol=1e-4)


def test_an_exported_mask_rcnn_gives_what_torch_gives(tmp_path):
    network = mask_rcnn()
    export(network, [torch.rand(3, 65, 96)], tmp_path, ["boxes", "labels", "scores", "masks"])
    description = load_description(
        describe(
            tmp_path,
            task="instance",
            classes=[None, *THINGS],
            input={"layout": "CHW"},
            output={"mask_frame": "box"},
        ),
        "instance",
    )
    ours = InstancePredictor(network, CITYSCAPES)(IMAGE)
    theirs = OnnxInstancePredictor(graph(description))(IMAGE)
    assert len(ours) == 5
    torch.testing.assert_close(theirs.boxes, ours.boxes, atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(theirs.scores, ours.scores, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(theirs.masks, ours.masks, atol=1e-3, rtol=1e-3)
    assert theirs.class_ids.tolist() == ours.class_ids.tolist()


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_the_input_is_what_the_description_says(tmp_path, layout, color):
    shape = (1, 3, 65, 96) if layout == "NCHW" else (1, 65, 96, 3)
    export(Echo(), torch.zeros(shape), tmp_path, ["logits"])
    wanted = {"layout": layout, "color": color, "scale": 1.0, "mean": [1, 2, 3], "std": [2, 4, 8]}
    found = _semantic(tmp_path, classes=NAMES[:3], input=wanted)(IMAGE).logits[:3]
    pixels = IMAGE if color == "RGB" else IMAGE[..., ::-1]
    expected = (pixels.astype(np.float32) - [1, 2, 3]) / [2, 4, 8]
    np.testing.assert_allclose(found.numpy(), expected.transpose(2, 0, 1), atol=1e-5)


def test_a_fixed_input_size_is_kept_and_boxes_scaled_back(tmp_path):
    export(Found(), torch.zeros(1, 3, 40, 32), tmp_path, ["boxes", "labels", "scores", "masks"])
    description = load_description(
        describe(tmp_path, task="instance", classes=["car", None, "person"]), "instance"
    )
    found = OnnxInstancePredictor(graph(description))(np.zeros((80, 96, 3), np.uint8))
    assert found.class_ids.tolist() == [24, 26]
    np.testing.assert_allclose(found.scores, [0.9, 0.4])
    np.testing.assert_allclose(found.boxes, [[0, 0, 24, 32], [48, 16, 96, 80]])
    # The first one's mask covers its box, the second one's is empty.
    np.testing.assert_allclose(found.masks.mean((1, 2)), [1.0, 0.0], atol=0.02)


def test_classes_that_are_not_ours_are_left_out(tmp_path):
    export(Found(), torch.zeros(1, 3, 40, 32), tmp_path, ["boxes", "labels", "scores", "masks"])
    description = load_description(
        describe(tmp_path, task="instance", classes=[None, None, "person"]), "instance"
    )
    found = OnnxInstancePredictor(graph(description))(np.zeros((40, 32, 3), np.uint8))
    assert found.class_ids.tolist() == [24]


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("classes", [[None, "road"], ["road", None], [None, "road", None]])
def test_what_is_none_of_the_classes_is_unlabeled_where_it_wins(tmp_path, kind, classes):
    export(Echo(len(classes)), torch.zeros(1, 3, 65, 96), tmp_path, ["logits"])
    found = _semantic(tmp_path, classes=classes, output={"kind": kind})(IMAGE)
    channels = torch.from_numpy(IMAGE).permute(2, 0, 1)[: len(classes)].double() / 255
    road = channels[classes.index("road")]
    others = channels[[i for i, name in enumerate(classes) if name is None]]
    other = others.sum(0) if kind == "probabilities" else others.logsumexp(0)
    same = (road - other).abs() < 1e-4
    expected = np.where(road > other, 7, 0)
    np.testing.assert_array_equal(found.class_map()[~same], expected[~same])
    # Of a merge, too: sky is no road.
    labels = stack(found, instances_of(), FusionOptions(stuff_area_limit=0)).labels
    np.testing.assert_array_equal(labels, found.class_map())


@pytest.mark.parametrize(
    ("kind", "mean", "half"), [("logits", 0.5, 128), ("probabilities", 0, 128)]
)
def test_one_channel_is_a_class_against_all_else(tmp_path, kind, mean, half):
    export(Echo(1), torch.zeros(1, 3, 65, 96), tmp_path, ["logits"])
    given = {"mean": [mean] * 3}
    found = _semantic(tmp_path, classes=["road"], output={"kind": kind}, input=given)(IMAGE)
    np.testing.assert_array_equal(found.class_map(), np.where(IMAGE[..., 0] >= half, 7, 0))


@pytest.mark.parametrize("strategy", ["stack", "panoptic_fpn", "upsnet", "degeus"])
def test_every_merge_leaves_unlabeled_what_is_none_of_the_classes(strategy):
    logits = torch.full((19, 4, 4), -30.0)
    logits[0, :, :2] = 5.0
    other = torch.zeros(4, 4)
    semantic = SemanticPrediction(logits, (8, 8), CITYSCAPES, other)
    options = FusionOptions(stuff_area_limit=0)
    labels = make_strategy(strategy)(semantic, instances_of(), options).labels
    assert np.unique(labels[:, :3]).tolist() == [7]
    assert np.unique(labels[:, 5:]).tolist() == [0]


def test_probabilities_of_channels_that_are_one_class_are_added(tmp_path):
    export(Echo(), torch.zeros(1, 3, 65, 96), tmp_path, ["probabilities"])
    predictor = _semantic(tmp_path, classes=["car", "sky", "car"], output={"kind": "probabilities"})
    found = predictor(IMAGE).logits.exp().permute(1, 2, 0)
    pixels = IMAGE.astype(np.float32) / 255
    np.testing.assert_allclose(found[..., 13], pixels[..., 0] + pixels[..., 2], atol=1e-5)
    np.testing.assert_allclose(found[..., 10], pixels[..., 1], atol=1e-5)


class Indices(nn.Module):
    """Return the red channel as class indices."""

    def __init__(self, axes):
        super().__init__()
        self.axes = axes

    def forward(self, image):
        red = image[:, 0].long()
        return {"hw": red[0], "nhw": red, "nchw": red[:, None], "nhwc": red[..., None]}[self.axes]


@pytest.mark.parametrize("axes", ["hw", "nhw", "nchw", "nhwc"])
def test_a_network_may_give_class_indices(tmp_path, caplog, axes):
    export(Indices(axes), torch.zeros(1, 3, 64, 96), tmp_path, ["indices"])
    predictor = _semantic(
        tmp_path, classes=["sky", None, "car"], input={"scale": 1.0}, output={"kind": "labels"}
    )
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, 32:, 0] = 1
    image[:, 64:, 0] = 2
    image[32:, :, 0] = 255
    caplog.clear()
    classes = predictor(image).class_map()
    assert [np.unique(classes[:32, x : x + 32]).tolist() for x in (0, 32, 64)] == [[23], [0], [26]]
    # What the description does not name is nothing, and never road.
    assert np.unique(classes[32:]).tolist() == [0]
    predictor(image)
    assert caplog.text.count("gives index 255, its description names 3 classes") == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"classes": NAMES[:2]}, r"shape \[1, 3, 65, 96\], which is no logits of the 2 classes"),
        ({"output": {"name": "scores"}}, "has no output 'scores'; it has logits"),
        ({"output": {"kind": "labels"}}, "which is no labels"),
        ({"input": {"layout": "CHW"}}, "which is no CHW"),
        ({"input": {"layout": "NHWC"}}, "which is no NHWC of three channels"),
        ({"input": {"name": "picture"}}, "has the inputs image"),
        ({"input": {"multiple_of": 32}}, r"takes \(65, 96\), no multiples of 32"),
    ],
)
def test_what_does_not_fit_the_description_is_told_before_any_frame(tmp_path, content, words):
    export(Echo(), torch.zeros(1, 3, 65, 96), tmp_path, ["logits"])
    with pytest.raises(ValueError, match=words):
        _semantic(tmp_path, **{"classes": NAMES[:3], **content})


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("layout", ["", "NCHW"])
@pytest.mark.parametrize("axes", [{}, {"image": {2: "h", 3: "w"}}])
def test_a_graph_that_takes_no_rgb_image_is_told_before_any_frame(tmp_path, channels, layout, axes):
    network = nn.Conv2d(channels, 3, 1)
    shape = torch.zeros(1, channels, 65, 96)
    export(network, shape, tmp_path, ["logits"], dynamic_axes=axes)
    with pytest.raises(ValueError, match=rf"takes \[1, {channels}, .*\], which is no .*three"):
        _semantic(tmp_path, classes=NAMES[:3], input={"layout": layout})


def make(folder, nodes, outputs, *, kind=TensorProto.FLOAT, shape=(1, 3, "h", "w")):
    """Write a graph of an input x, and outputs y (or none) of a type, as net.onnx."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **node[3]) for node in nodes],
        "graph",
        [value("x", kind, shape)],
        outputs if isinstance(outputs, list) else [value("y", outputs, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "net.onnx")


def cast(to):
    return [
        ("ArgMax", ["x"], ["a"], {"axis": 1, "keepdims": 0}),
        ("Cast", ["a"], ["y"], {"to": to}),
    ]


@pytest.mark.parametrize(
    "kind", ["UINT8", "UINT16", "UINT32", "UINT64", "INT16", "BOOL", "FLOAT16"]
)
def test_indices_may_be_numbers_of_any_type(tmp_path, kind):
    number = TensorProto.DataType.Value(kind)
    make(tmp_path, cast(number), number)
    found = _semantic(tmp_path, classes=NAMES[:3], output={"kind": "labels"})(IMAGE)
    indices = IMAGE.argmax(axis=2)
    expected = np.minimum(indices, 1) if kind == "BOOL" else indices
    np.testing.assert_array_equal(found.class_map(), CITYSCAPES.ids[expected])


@pytest.mark.parametrize(("kind", "count"), [("UINT8", 256), ("UINT8", 300), ("INT8", 150)])
def test_there_may_be_more_classes_than_the_indices_type_holds(tmp_path, kind, count):
    number = TensorProto.DataType.Value(kind)
    make(tmp_path, [("Cast", ["x"], ["a"], {"to": number}), *_red("a")], number)
    names = [None, "road", *[None] * (count - 2)]
    wanted = {"scale": 1.0, "mean": [100, 0, 0]}
    found = _semantic(tmp_path, classes=names, input=wanted, output={"kind": "labels"})(IMAGE)
    np.testing.assert_array_equal(found.class_map(), np.where(IMAGE[..., 0] == 101, 7, 0))


def _red(name):
    """Return the nodes that give the first channel of a tensor as y."""
    first, end, axis = (
        ("Constant", [], [key], {"value_ints": [value]})
        for key, value in (("first", 0), ("end", 1), ("axis", 1))
    )
    return [first, end, axis, ("Slice", [name, "first", "end", "axis"], ["y"], {})]


@pytest.mark.parametrize("odd", [0.4, float("nan"), float("inf"), -float("inf")])
def test_what_is_no_index_is_unlabeled_and_never_the_first_class(tmp_path, odd, caplog):
    class Odd(nn.Module):
        def forward(self, image):
            # Odd where a pixel is black, which the noise of the trial is nowhere.
            return torch.where(image.sum(1) > 0, torch.zeros(()), torch.tensor(odd))

    export(Odd(), torch.zeros(1, 3, 64, 96), tmp_path, ["indices"])
    predictor = _semantic(tmp_path, classes=["road", "car"], output={"kind": "labels"})
    image = np.full((64, 96, 3), 9, np.uint8)
    image[32:] = 0
    classes = predictor(image).class_map()
    assert (np.unique(classes[:32]).tolist(), np.unique(classes[32:]).tolist()) == ([7], [0])
    assert f"gives index {odd:g}, its description names 2 classes" in caplog.text


@pytest.mark.parametrize(
    ("kind", "factor", "words"),
    [
        ("labels", 1.0, r"output 'logits' gives 0\.\d+, which is no class index; write kind"),
        ("probabilities", -1.0, r"values of -1..-?0 are no probabilities, 0..1: write kind: log"),
        ("probabilities", 255.0, r"values of 0..255 are no probabilities"),
    ],
)
def test_values_of_another_kind_are_told_before_any_frame(tmp_path, kind, factor, words):
    class Scaled(nn.Module):
        def forward(self, image):
            image = image * factor
            return image[:, 0] if kind == "labels" else image

    export(Scaled(), torch.zeros(1, 3, 65, 96), tmp_path, ["logits"])
    with pytest.raises(ValueError, match=rf"net.onnx: output 'logits'.*{words}|{words}"):
        _semantic(tmp_path, classes=NAMES[:3], output={"kind": kind})


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_probabilities_that_are_called_logits_are_warned_of(tmp_path, caplog, channels, kind):
    class Softmax(nn.Module):
        def forward(self, image):
            return image.softmax(1) if channels == 3 else image[:, :1].sigmoid()

    export(Softmax(), torch.zeros(1, 3, 65, 96), tmp_path, ["scores"])
    _semantic(tmp_path, classes=["road", None, None][:channels], output={"kind": kind})
    assert ("write kind: probabilities" in caplog.text) == (kind == "logits")


@pytest.mark.parametrize("shape", [(1, 3, 48, 96), (1, 48, 96, 3)])
def test_channels_lie_where_the_input_has_them_if_both_sides_would_do(tmp_path, shape):
    class Small(nn.Module):
        def forward(self, image):
            first = image.permute(0, 3, 1, 2) if shape[3] == 3 else image
            small = nn.functional.avg_pool2d(first, 16, (16, 32))
            return small.permute(0, 2, 3, 1) if shape[3] == 3 else small

    export(Small(), torch.zeros(shape), tmp_path, ["logits"])
    image = np.zeros((48, 96, 3), np.uint8)
    image[..., 1] = 255
    found = _semantic(tmp_path, classes=NAMES[:3])(image)
    assert found.logits[:3].mean((1, 2)).tolist() == [0, 1, 0]


def test_multiples_that_were_not_tried_are_told(tmp_path):
    class Patches(nn.Module):
        def forward(self, image):
            h, w = image.shape[2] // 14, image.shape[3] // 14
            patches = image.reshape(1, 3, h, 14, w, 14).permute(0, 1, 3, 5, 2, 4)
            return patches.reshape(1, 588, h, w)[:, :3]

    axes = {"image": {2: "h", 3: "w"}}
    export(Patches(), torch.zeros(1, 3, 28, 42), tmp_path, ["logits"], dynamic_axes=axes)
    with pytest.raises(ValueError, match=r"multiples of 2, .*, 128; write multiple_of, or export"):
        _semantic(tmp_path, classes=NAMES[:3])
    assert _semantic(tmp_path, classes=NAMES[:3], input={"multiple_of": 14})(IMAGE)


SAME = [("Identity", ["x"], ["y"], {})]
EMPTY = helper.make_tensor("v", TensorProto.FLOAT, [1, 3, 0, 0], [])


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ((SAME, []), "net.onnx has no outputs"),
        ((cast(TensorProto.STRING), TensorProto.STRING), "output 'y' is object, no numbers"),
        (
            (
                [("SequenceConstruct", ["x"], ["y"], {})],
                [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)],
            ),
            "output 'y' is list, no numbers",
        ),
        (
            ([("Constant", [], ["y"], {"value": EMPTY})], TensorProto.FLOAT),
            r"\[1, 3, 0, 0\] is empty",
        ),
        ((SAME, TensorProto.FLOAT, (1, 3, 10**6, 10**6)), r"1000000\], more than \d+ pixels"),
        ((SAME, TensorProto.FLOAT, (2**31, 3, 64, 64)), r"64\], more than \d+ pixels"),
        ((SAME, TensorProto.FLOAT, (1, 3, 0, 0)), "cannot run an image"),
        ((SAME, TensorProto.FLOAT, (3,)), "no image of three channels"),
    ],
)
def test_a_graph_that_answers_no_image_is_told_before_any_frame(tmp_path, graph, words):
    nodes, outputs, *shape = graph
    make(tmp_path, nodes, outputs, **({"shape": shape[0]} if shape else {}))
    with pytest.raises(ValueError, match=words):
        _semantic(tmp_path, classes=NAMES[:3])


class Last(nn.Module):
    """Return the input, channels last."""

    def forward(self, image):
        image = image if image.shape[3] == 3 else image.permute(0, 2, 3, 1)
        return image.float() + 0.0


@pytest.mark.parametrize("shape", [(1, 3, 65, 96), (1, 65, 96, 3)])
@pytest.mark.parametrize("network", [Echo(), Last()])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32, torch.float64])
def test_the_graph_gets_what_it_asks_for(tmp_path, shape, network, dtype):
    export(network, torch.zeros(shape, dtype=dtype), tmp_path, ["logits"])
    found = _semantic(tmp_path, classes=NAMES[:3])(IMAGE).logits[:3]
    factor = 1 / 255 if dtype.is_floating_point else 1
    expected = IMAGE.transpose(2, 0, 1) * factor
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_a_graph_of_bytes_is_not_given_fractions(tmp_path):
    export(Echo(), torch.zeros(1, 3, 65, 96, dtype=torch.uint8), tmp_path, ["logits"])
    for wanted in (IMAGENET, {"scale": 1 / 255}, {"scale": 2}):
        with pytest.raises(
            ValueError, match=r"takes uint8; scale, mean and std .*: leave them out"
        ):
            _semantic(tmp_path, classes=NAMES[:3], input=wanted)


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        (torch.float32, {"scale": 1e300}),
        (torch.float16, {"scale": 1e3}),
        (torch.float16, {"std": [1e-9] * 3}),
    ],
)
def test_pixels_beyond_what_a_graph_holds_are_told(tmp_path, dtype, wanted):
    export(Echo(), torch.zeros(1, 3, 65, 96, dtype=dtype), tmp_path, ["logits"])
    with pytest.raises(ValueError, match=r"takes float\d\d; scale, .* more than that holds"):
        _semantic(tmp_path, classes=NAMES[:3], input=wanted)


def test_what_came_in_place_of_a_graph_is_told(tmp_path):
    export(Echo(), torch.zeros(1, 3, 65, 96), tmp_path, ["logits"])
    (file,) = tmp_path.glob("*.onnx")
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match=rf"^{file} is a pointer of Git LFS"):
        _semantic(tmp_path, classes=NAMES[:3])


def test_a_fixed_batch_is_filled(tmp_path, caplog):
    export(Echo(), torch.zeros(4, 3, 65, 96), tmp_path, ["logits"])
    found = _semantic(tmp_path, classes=NAMES[:3])(IMAGE).logits[:3]
    np.testing.assert_allclose(found.numpy(), IMAGE.transpose(2, 0, 1) / 255, rtol=1e-5)
    assert "takes 4 images at once" in caplog.text


class Halved(nn.Module):
    """Return the input, brought to a part of its size and back to the whole: U-Net's sums."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def forward(self, image):
        small = nn.functional.avg_pool2d(image, 2**self.times)
        return image + 0 * nn.functional.interpolate(small, scale_factor=float(2**self.times))


@pytest.mark.parametrize("times", [1, 3, 5])
@pytest.mark.parametrize("fit", ["", "letterbox", "stretch"])
def test_sides_are_made_the_multiples_that_a_graph_needs(tmp_path, times, fit):
    axes = {"image": {2: "h", 3: "w"}}
    export(Halved(times), torch.zeros(1, 3, 64, 64), tmp_path, ["logits"], dynamic_axes=axes)
    predictor = _semantic(tmp_path, classes=NAMES[:3], input={"fit": fit})
    rows, columns = np.mgrid[:75, :100]
    image = np.stack([rows * 3, columns * 2, rows + columns], -1).astype(np.uint8)
    found = predictor(image)
    assert found.image_size == (75, 100)
    error = (found.upsampled()[:3] * 255 - torch.from_numpy(image).permute(2, 0, 1)).abs()
    if fit != "stretch":
        # Padded and cut again: not a pixel is interpolated.
        assert error.max() < 1e-3
    assert error[:, 4:-4, 4:-4].mean() < 1.5
    with pytest.raises(ValueError, match="cannot run an image of"):
        _semantic(tmp_path, classes=NAMES[:3], input={"multiple_of": 2 ** (times - 1)})


@pytest.mark.parametrize("size", [(65, 96), (32, 200), (200, 32)])
def test_a_letterboxed_image_keeps_its_proportions(tmp_path, size):
    export(Echo(), torch.zeros(1, 3, 64, 64), tmp_path, ["logits"])
    rows, columns = np.mgrid[: size[0], : size[1]]
    image = np.stack([rows, columns, rows * 0], -1).astype(np.uint8)
    predictor = _semantic(tmp_path, classes=NAMES[:3], input={"fit": "letterbox"})
    found = predictor(image)
    scale = 64 / max(size)
    assert found.logits.shape[1:] == tuple(round(side * scale) for side in size)
    back = found.upsampled()[:2] * 255
    expected = torch.from_numpy(image).permute(2, 0, 1)[:2]
    assert (back - expected)[:, 4:-4, 4:-4].abs().max() < 3


def test_boxes_of_a_letterboxed_image_are_those_of_the_image(tmp_path):
    # 40 x 32 in the graph; 80 x 96 becomes 27 x 32, from row 6 on.
    export(Found(), torch.zeros(1, 3, 40, 32), tmp_path, ["boxes", "labels", "scores", "masks"])
    description = load_description(
        describe(
            tmp_path,
            task="instance",
            classes=["car", None, "person"],
            input={"fit": "letterbox"},
        ),
        "instance",
    )
    found = OnnxInstancePredictor(graph(description))(np.zeros((80, 96, 3), np.uint8))
    y = 80 / 27
    expected = [[0, 0, 24, 10 * y], [48, 2 * y, 96, 80]]
    np.testing.assert_allclose(found.boxes, expected, atol=1e-4)
    np.testing.assert_allclose(found.masks.mean((1, 2)), [1.0, 0.0], atol=0.02)


def test_a_mask_in_a_boxs_frame_is_cut_with_its_box(tmp_path):
    class Beyond(nn.Module):
        def forward(self, image):
            low = torch.tensor([[-16.0, 0.0, 16.0, 16.0]]) + image.mean() * 0
            left = (torch.arange(28) < 14).float().expand(1, 28, 28)
            return low, torch.tensor([0]), torch.tensor([0.9]), left

    export(Beyond(), torch.zeros(1, 3, 40, 32), tmp_path, ["boxes", "labels", "scores", "masks"])
    content = {"task": "instance", "classes": ["car"], "output": {"mask_frame": "box"}}
    description = load_description(describe(tmp_path, **content), "instance")
    found = OnnxInstancePredictor(graph(description))(np.zeros((40, 32, 3), np.uint8))
    np.testing.assert_allclose(found.boxes, [[0, 0, 16, 16]])
    # The half that the mask held lies beside the image.
    assert found.masks.mean() < 0.05


class Yolo(nn.Module):
    """Propose four anchors: two that overlap, one of no class of ours, one that scores low."""

    boxes = ((16, 20, 16, 20), (17, 20, 16, 20), (40, 20, 8, 8), (10, 10, 8, 8))
    scores = ((0.9, 0.1, 0.0), (0.8, 0.2, 0.0), (0.1, 0.7, 0.2), (0.0, 0.0, 0.1))
    coefficients = ((9.0, 0.0), (9.0, 0.0), (0.0, 9.0), (9.0, 9.0))

    def __init__(self, objectness, transposed, apart, scale=1.0):
        super().__init__()
        self.objectness, self.transposed, self.apart = objectness, transposed, apart
        self.scale = torch.tensor([scale, scale, scale, scale])

    def forward(self, image):
        h, w = image.shape[2] // 4, image.shape[3] // 4
        boxes = torch.tensor(self.boxes).float() * self.scale + image.mean() * 0
        scores, coefficients = torch.tensor(self.scores), torch.tensor(self.coefficients)
        left = torch.where(torch.arange(w) < 4, 1.0, -1.0).expand(1, 1, h, w)
        prototypes = torch.cat([left, -left], 1) + image.mean() * 0
        if self.apart:
            return boxes[None], scores[None], coefficients[None], prototypes
        rest = [torch.full((4, 1), 0.5)] if self.objectness else []
        table = torch.cat([boxes, *rest, scores, coefficients], 1)[None]
        return (table.transpose(1, 2) if self.transposed else table), prototypes


@pytest.mark.parametrize(
    ("objectness", "transposed", "apart"),
    [(False, True, False), (True, False, False), (False, False, False), (False, False, True)],
)
def test_what_a_detector_proposes_is_chosen_here(tmp_path, objectness, transposed, apart):
    names = ["boxes", "scores", "coefficients", "prototypes"] if apart else ["table", "prototypes"]
    network = Yolo(objectness, transposed, apart)
    export(network, torch.zeros(1, 3, 48, 64), tmp_path, names)
    output = {"kind": "yolo"} | ({name: name for name in names} if apart else {})
    content = {"task": "instance", "classes": ["car", None, "person"], "output": output}
    description = load_description(describe(tmp_path, **content), "instance")
    found = OnnxInstancePredictor(graph(description))(np.zeros((96, 64, 3), np.uint8))
    assert found.class_ids.tolist() == [26]
    np.testing.assert_allclose(found.scores, [0.45 if objectness else 0.9])
    np.testing.assert_allclose(found.boxes, [[8, 20, 24, 60]])
    # The prototype is positive left of x = 16: half of the box.
    np.testing.assert_allclose(found.masks[0, 14, [4, 24]], [1, 0], atol=0.01)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"iou_threshold": 0.99}, [0.9, 0.8]),
        ({"iou_threshold": 0.99, "detections": 1}, [0.9]),
        ({"score_threshold": 0.85, "iou_threshold": 1.0}, [0.9]),
        ({"score_threshold": 0.95}, []),
    ],
)
def test_the_choice_obeys_its_thresholds(tmp_path, options, expected):
    export(Yolo(False, True, False), torch.zeros(1, 3, 48, 64), tmp_path, ["table", "prototypes"])
    output = {"kind": "yolo", **options}
    content = {"task": "instance", "classes": ["car", None, "person"], "output": output}
    description = load_description(describe(tmp_path, **content), "instance")
    found = OnnxInstancePredictor(graph(description))(np.zeros((48, 64, 3), np.uint8))
    np.testing.assert_allclose(found.scores, expected)
    assert found.masks.shape == (len(expected), 28, 28)


def test_proposals_that_are_not_finite_are_told(tmp_path):
    network = Yolo(False, True, False)
    export(network, torch.zeros(1, 3, 48, 64), tmp_path, ["table", "prototypes"])
    content = {"task": "instance", "classes": ["car", None, "person"], "output": {"kind": "yolo"}}
    description = load_description(describe(tmp_path, **content), "instance")
    predictor = OnnxInstancePredictor(graph(description))
    image = np.zeros((48, 64, 3), np.uint8)
    assert predictor(image).all_finite()
    network.scores = ((0.9, 0.1, float("nan")), *Yolo.scores[1:])
    export(network, torch.zeros(1, 3, 48, 64), tmp_path, ["table", "prototypes"])
    predictor = OnnxInstancePredictor(graph(description))
    assert not predictor(image).all_finite()


@pytest.mark.parametrize("finds_riders", [False, True])
def test_a_detector_that_knows_no_riders_may_have_them_by_rule(tmp_path, finds_riders):
    class Cyclist(nn.Module):
        def forward(self, image):
            h, w = image.shape[2:]
            boxes = torch.tensor([[8.0, 4.0, 24.0, 28.0], [4.0, 16.0, 28.0, 36.0]])
            masks = torch.ones(2, 1, h, w) + image.mean() * 0
            return boxes, torch.tensor([0, 1]), torch.tensor([0.9, 0.8]), masks

    export(Cyclist(), torch.zeros(1, 3, 40, 32), tmp_path, ["boxes", "labels", "scores", "masks"])
    content = {"task": "instance", "classes": ["person", "bicycle"]}
    description = load_description(describe(tmp_path, **content), "instance")
    predictor = OnnxInstancePredictor(graph(description), finds_riders=finds_riders)
    found = predictor(np.zeros((40, 32, 3), np.uint8))
    assert found.class_ids.tolist() == [25 if finds_riders else 24, 33]


def test_relative_boxes_and_logits_are_said_to_be_so(tmp_path):
    network = Yolo(False, True, False)
    network.boxes = [(x / 64, y / 48, w / 64, h / 48) for x, y, w, h in Yolo.boxes]
    export(network, torch.zeros(1, 3, 48, 64), tmp_path, ["table", "prototypes"])
    output = {"kind": "yolo", "relative": True, "sigmoid": True}
    content = {"task": "instance", "classes": ["car", None, "person"], "output": output}
    description = load_description(describe(tmp_path, **content), "instance")
    found = OnnxInstancePredictor(graph(description))(np.zeros((48, 64, 3), np.uint8))
    # Also the lowest anchor: the sigmoid of 0.1 is more than 0.25.
    assert found.class_ids.tolist() == [26, 24]
    np.testing.assert_allclose(found.scores, torch.tensor([0.9, 0.1]).sigmoid())
    np.testing.assert_allclose(found.boxes[0], [8, 10, 24, 30], atol=1e-4)


@pytest.mark.parametrize(
    ("outputs", "content", "words"),
    [
        (["table", "prototypes"], {"classes": ["car"]}, "no axis of the predictions has the 7 val"),
        (
            ["boxes", "labels", "scores", "masks"],
            {"output": {"kind": "yolo", "predictions": "boxes"}},
            "outputs",
        ),
        (["table", "prototypes"], {"output": {}}, "has no output 'boxes'; it has table, proto"),
    ],
)
def test_a_detector_that_does_not_fit_is_told_before_any_frame(tmp_path, outputs, content, words):
    network = Yolo(False, True, False) if len(outputs) == 2 else Found()
    export(network, torch.zeros(1, 3, 48, 64), tmp_path, outputs)
    content = {"task": "instance", "classes": ["car"], "output": {"kind": "yolo"}} | content
    description = load_description(describe(tmp_path, **content), "instance")
    with pytest.raises(ValueError, match=rf"(?s)net.onnx.*{words}"):
        OnnxInstancePredictor(graph(description))


@pytest.mark.parametrize("objectness", [None, True, False])
@pytest.mark.parametrize("has_one", [True, False])
def test_whether_there_is_an_objectness_may_be_said(tmp_path, caplog, objectness, has_one):
    network = Yolo(has_one, True, False)
    export(network, torch.zeros(1, 3, 48, 64), tmp_path, ["table", "prototypes"])
    output = {"kind": "yolo"} | ({} if objectness is None else {"objectness": objectness})
    content = {"task": "instance", "classes": ["car", None, "person"], "output": output}
    description = load_description(describe(tmp_path, **content), "instance")
    if objectness is not None and objectness != has_one:
        with pytest.raises(ValueError, match="no axis of the predictions has the"):
            OnnxInstancePredictor(graph(description))
        return
    OnnxInstancePredictor(graph(description))
    # A class that the description forgets looks the same.
    warned = "write objectness: true, or name the class that is missing" in caplog.text
    assert warned == (has_one and objectness is None)


@pytest.mark.parametrize(("sigmoid", "scale"), [(False, 9.0), (False, -1.0), (True, 1.0)])
def test_scores_of_another_kind_are_told_before_any_frame(tmp_path, caplog, sigmoid, scale):
    network = Yolo(False, True, False)
    network.scores = [[scale * score for score in row] for row in Yolo.scores]
    export(network, torch.zeros(1, 3, 48, 64), tmp_path, ["table", "prototypes"])
    output = {"kind": "yolo", "sigmoid": sigmoid}
    content = {"task": "instance", "classes": ["car", None, "person"], "output": output}
    description = load_description(describe(tmp_path, **content), "instance")
    if sigmoid:
        OnnxInstancePredictor(graph(description))
        assert "leave out sigmoid: true" in caplog.text
        return
    with pytest.raises(ValueError, match=r"net.onnx: scores of .*: write sigmoid: true"):
        OnnxInstancePredictor(graph(description))


@pytest.mark.parametrize("what", ["scores", "masks"])
def test_scores_and_masks_of_a_detector_are_probabilities(tmp_path, what):
    class Logits(Found):
        def forward(self, image):
            boxes, labels, scores, masks = super().forward(image)
            return boxes, labels, scores + 7 * (what == "scores"), masks - 9 * (what == "masks")

    export(Logits(), torch.zeros(1, 3, 40, 32), tmp_path, ["boxes", "labels", "scores", "masks"])
    content = {"task": "instance", "classes": ["car", None, "person"]}
    description = load_description(describe(tmp_path, **content), "instance")
    with pytest.raises(ValueError, match=rf"net.onnx: {what} of .* are no probabilities"):
        OnnxInstancePredictor(graph(description))


def test_a_file_that_is_no_graph_is_told(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"net.onnx cannot be run"):
        _semantic(tmp_path)


def test_the_walk_through_of_the_docs_works(tmp_path, monkeypatch):
    text = (resources.share_dir() / "docs" / "weights.md").read_text()
    text = text[text.index("### Step by step, with a network from torchvision") :]
    code, description, entry = re.findall(r"( +)```(?:python|yaml)\n(.*?)\1```", text, re.DOTALL)[
        :3
    ]
    monkeypatch.chdir(tmp_path)
    untrained = textwrap.dedent(code[1]).replace(
        'weights="DEFAULT"', "weights=None, weights_backbone=None"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(untrained, {})
    (tmp_path / "voc.yaml").write_text(textwrap.dedent(description[1]))
    town = yaml.safe_load((resources.share_dir() / "config/models/town.yaml").read_text())
    town |= yaml.safe_load(textwrap.dedent(entry[1]))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(town))
    pipeline = PanopticPipeline.load(str(tmp_path / "mine.yaml"), device="cpu")
    assert pipeline.fusion_name == "stack"
    result = pipeline.run(IMAGE)
    stuff = {c.id for c in CITYSCAPES.stuff}
    # Pascal VOC knows no street.
    assert not stuff & set(np.unique(result.panoptic.labels).tolist())


def test_a_runtime_that_is_missing_is_told(tmp_path, monkeypatch):
    export(Echo(), torch.zeros(1, 3, 65, 96), tmp_path, ["logits"])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match="onnxruntime is missing: `pip install onnxruntime`"):
        _semantic(tmp_path, classes=NAMES[:3])
