import numpy as np
import pytest
import torch
from exported import THINGS, deeplab, describe, export, mask_rcnn
from torch import nn

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.onnx import OnnxInstancePredictor, OnnxSemanticPredictor, load_description
from panoptic_ros.model.predictors import InstancePredictor, SemanticPredictor

CPU = torch.device("cpu")
NAMES = [c.name for c in CITYSCAPES.classes]
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
IMAGE = np.random.default_rng(0).integers(0, 256, (65, 96, 3), np.uint8)


class Echo(nn.Module):
    """Return the input, channels first: what the predictor made of the image."""

    def forward(self, image):
        return image + 0.0 if image.shape[1] == 3 else image.permute(0, 3, 1, 2)


class Found(nn.Module):
    """Detect two fixed instances, masks over the whole image."""

    def forward(self, image):
        h, w = image.shape[2:]
        boxes = torch.tensor([[0.0, 0.0, 8.0, 16.0], [16.0, 8.0, 32.0, 40.0]])
        left = (torch.arange(w) < 8).float().expand(h, w)
        masks = torch.stack([torch.zeros(h, w), left])[:, None] + image.mean() * 0
        return boxes.flip(0), torch.tensor([0, 2]), torch.tensor([0.4, 0.9]), masks


def _semantic(folder, short_side=0, **content):
    content = {"task": "semantic", "classes": NAMES, **content}
    description = load_description(describe(folder, **content), "semantic")
    return OnnxSemanticPredictor(description, CITYSCAPES, CPU, short_side)


def test_an_exported_deeplab_gives_what_torch_gives(tmp_path):
    network = deeplab()
    axes = {"image": {2: "h", 3: "w"}}
    export(network, torch.zeros(1, 3, 64, 64), tmp_path, ["logits"], dynamic_axes=axes)
    ours = SemanticPredictor(network, CITYSCAPES, 48)(IMAGE)
    theirs = _semantic(tmp_path, 48, input=IMAGENET)(IMAGE)
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
    theirs = OnnxInstancePredictor(description, CITYSCAPES, CPU)(IMAGE)
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
    found = OnnxInstancePredictor(description, CITYSCAPES, CPU)(np.zeros((80, 96, 3), np.uint8))
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
    found = OnnxInstancePredictor(description, CITYSCAPES, CPU)(np.zeros((40, 32, 3), np.uint8))
    assert found.class_ids.tolist() == [24]


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_a_class_that_the_network_lacks_never_wins(tmp_path, kind):
    export(Echo(), torch.zeros(1, 3, 65, 96), tmp_path, ["logits"])
    predictor = _semantic(tmp_path, classes=["sky", None, "car"], output={"kind": kind})
    channels = predictor(IMAGE).channels
    expected = np.where(IMAGE[..., 0] >= IMAGE[..., 2], 10, 13)
    same = IMAGE[..., 0] == IMAGE[..., 2]
    np.testing.assert_array_equal(channels.numpy()[~same], expected[~same])


def test_probabilities_of_channels_that_are_one_class_are_added(tmp_path):
    export(Echo(), torch.zeros(1, 3, 65, 96), tmp_path, ["probabilities"])
    predictor = _semantic(tmp_path, classes=["car", "sky", "car"], output={"kind": "probabilities"})
    found = predictor(IMAGE).logits.exp().permute(1, 2, 0)
    pixels = IMAGE.astype(np.float32) / 255
    np.testing.assert_allclose(found[..., 13], pixels[..., 0] + pixels[..., 2], atol=1e-5)
    np.testing.assert_allclose(found[..., 10], pixels[..., 1], atol=1e-5)


class Indices(nn.Module):
    """Return the red channel as class indices."""

    def forward(self, image):
        return image[:, 0].long()


def test_a_network_may_give_class_indices_that_have_a_class(tmp_path):
    export(Indices(), torch.zeros(1, 3, 64, 96), tmp_path, ["indices"])
    predictor = _semantic(
        tmp_path, classes=["sky", "car"], input={"scale": 1.0}, output={"kind": "labels"}
    )
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, 48:, 0] = 1
    channels = predictor(image).channels
    assert channels[:, :48].unique().tolist() == [10]
    assert channels[:, 48:].unique().tolist() == [13]
    image[0, 0, 0] = 255
    with pytest.raises(ValueError, match="indices from 0 to 255, its description names 2"):
        predictor(image)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"classes": NAMES[:2]}, "gives 3 channels, its description names 2"),
        ({"output": {"name": "scores"}}, "has no output 'scores'; it has logits"),
        ({"output": {"kind": "labels"}}, "which is no labels"),
        ({"input": {"layout": "CHW"}}, "which is no CHW"),
        ({"input": {"name": "picture"}}, "has the inputs image"),
    ],
)
def test_what_does_not_fit_the_description_is_told(tmp_path, content, words):
    export(Echo(), torch.zeros(1, 3, 65, 96), tmp_path, ["logits"])
    with pytest.raises(ValueError, match=words):
        _semantic(tmp_path, **{"classes": NAMES[:3], **content})(IMAGE)


def test_a_file_that_is_no_graph_is_told(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"net.onnx cannot be run"):
        _semantic(tmp_path)
