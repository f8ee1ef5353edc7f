import model_file
import numpy as np
import pytest
import torch
from PIL import Image

from panoptic_ros.labels import CITYSCAPES, LabelSet
from panoptic_ros.model.predictors import InstancePredictor, Limits, SemanticPredictor, resize
from panoptic_ros.networks import build

THING_IDS = {24, 25, 26, 27, 28, 31, 32, 33}
IMAGE = np.random.default_rng(0).integers(0, 256, (80, 112, 3), np.uint8)


def constant(height, width):
    """Return an image that every resizing leaves as it is."""
    return np.full((height, width, 3), (200, 90, 30), np.uint8)


@pytest.fixture(scope="module")
def deeplab():
    torch.manual_seed(0)
    return build(
        {"name": "deeplabv3plus_mobilenetv2", "num_classes": 19, "decoder_channels": 16}
    ).eval()


@pytest.fixture(scope="module")
def mask_rcnn():
    torch.manual_seed(0)
    small = model_file.SMALL["instances"]["architecture"]
    return build(small | {"anchor_sizes": [16, 32, 64, 128, 256]}).eval()


@pytest.mark.parametrize(
    ("size", "limits", "expected"),
    [
        ((720, 1280), (0, 0), (720, 1280)),
        ((720, 1280), (512, 0), (512, 910)),
        ((1024, 2048), (512, 1024), (512, 1024)),
        ((400, 2000), (512, 1024), (205, 1024)),
        ((1280, 720), (360, 1280), (640, 360)),
        ((240, 320), (480, 1024), (480, 640)),
        ((40, 5000), (512, 1024), (32, 1024)),
        ((240, 320), (480, 1024, False), (240, 320)),
        ((720, 1280), (512, 0, False), (512, 910)),
        ((20, 320), (0, 0, False), (32, 320)),
    ],
)
def test_an_image_is_scaled_to_the_limits(size, limits, expected):
    assert Limits(*limits).size(size) == expected


@torch.inference_mode()
def test_semantic_scores_are_the_networks_for_the_normalised_image(deeplab):
    found = SemanticPredictor(deeplab, CITYSCAPES)(IMAGE)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = torch.from_numpy(((IMAGE / 255 - mean) / std).astype(np.float32))
    expected = deeplab(normalised.permute(2, 0, 1)[None])[0]
    torch.testing.assert_close(found.logits, expected)
    assert found.image_size == (80, 112)
    assert found.upsampled().shape == (19, 80, 112)


def test_a_resized_image_keeps_its_own_size_in_the_prediction(deeplab):
    small = SemanticPredictor(deeplab, CITYSCAPES)(constant(64, 96))
    large = SemanticPredictor(deeplab, CITYSCAPES, Limits(64))(constant(128, 192))
    torch.testing.assert_close(large.logits, small.logits)
    assert large.image_size == (128, 192)


@pytest.mark.parametrize(
    ("size", "limits"),
    [((128, 192), (64, 0)), ((128, 192), (0, 96)), ((131, 190), (64, 0)), ((50, 75), (64, 0))],
)
def test_boxes_are_in_pixels_of_the_image(mask_rcnn, size, limits):
    height, width = Limits(*limits).size(size)
    seen = InstancePredictor(mask_rcnn, CITYSCAPES)(constant(height, width))
    found = InstancePredictor(mask_rcnn, CITYSCAPES, Limits(*limits))(constant(*size))
    scale = torch.tensor([size[1] / width, size[0] / height] * 2)
    assert len(found) > 0
    torch.testing.assert_close(found.boxes, seen.boxes * scale)
    torch.testing.assert_close(found.masks, seen.masks)


@pytest.mark.parametrize("size", [(80, 112), (67, 91), (350, 520)])
def test_instances_carry_label_ids_and_boxes_inside_the_image(mask_rcnn, size):
    image = np.resize(IMAGE, (*size, 3))
    found = InstancePredictor(mask_rcnn, CITYSCAPES, Limits(64, 80))(image)
    height, width = size
    assert len(found) > 0
    assert found.masks.shape[1:] == (28, 28)
    assert set(found.class_ids.tolist()) <= THING_IDS
    assert found.boxes.min() >= 0
    assert (found.boxes.amax(0) <= torch.tensor([width, height, width, height])).all()


@torch.inference_mode()
def test_instances_are_the_networks_with_label_ids_for_its_labels(mask_rcnn):
    found = InstancePredictor(mask_rcnn, CITYSCAPES)(IMAGE)
    expected = mask_rcnn([torch.from_numpy(IMAGE).permute(2, 0, 1) / 255])[0]
    ids = [0, 24, 25, 26, 27, 28, 31, 32, 33]
    assert found.class_ids.tolist() == [ids[i] for i in expected["labels"].tolist()]
    torch.testing.assert_close(found.boxes, expected["boxes"])
    torch.testing.assert_close(found.masks, expected["masks"][:, 0])


def test_predictors_share_one_upload(deeplab, mask_rcnn):
    semantic = SemanticPredictor(deeplab, CITYSCAPES)
    instances = InstancePredictor(mask_rcnn, CITYSCAPES)
    frame = semantic.upload(IMAGE)
    assert frame.dtype == torch.uint8
    assert frame.shape == (3, 80, 112)
    assert instances.upload(frame).data_ptr() == frame.data_ptr()
    assert torch.equal(semantic(frame).logits, semantic(IMAGE).logits)
    assert torch.equal(instances(frame).boxes, instances(IMAGE).boxes)


@pytest.mark.filterwarnings("error")
def test_views_and_read_only_memory_are_taken(deeplab):
    predictor = SemanticPredictor(deeplab, CITYSCAPES)
    bgr = np.frombuffer(IMAGE[..., ::-1].tobytes(), np.uint8).reshape(IMAGE.shape)
    assert torch.equal(predictor.upload(bgr[..., ::-1]), predictor.upload(IMAGE))
    assert torch.equal(predictor.upload(bgr), predictor.upload(bgr.copy()))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (IMAGE.astype(np.float32), r"dtype float32 and shape \[80, 112, 3\]; expected uint8 \["),
        (IMAGE[..., 0], r"shape \[80, 112\]; expected uint8 \[H, W, 3\]"),
        (IMAGE.transpose(2, 0, 1), r"shape \[3, 80, 112\]; expected uint8 \[H, W, 3\]"),
        (IMAGE[:0], r"shape \[0, 112, 3\]; .* H, W >= 32"),
        (IMAGE[:, :31], r"shape \[80, 31, 3\]; .* H, W >= 32"),
        (torch.from_numpy(IMAGE), r"shape \[80, 112, 3\]; expected uint8 \[3, H, W\]"),
        (torch.zeros(3, 80, 80), r"dtype torch.float32 and .* expected uint8 \[3, H, W\]"),
        (IMAGE.tolist(), "image is a list"),
    ],
)
def test_another_dtype_or_shape_is_refused(deeplab, image, message):
    with pytest.raises(ValueError, match=message):
        SemanticPredictor(deeplab, CITYSCAPES)(image)


def test_a_network_for_other_classes_is_refused(deeplab, mask_rcnn):
    fewer = LabelSet("fewer", CITYSCAPES.classes[:12])
    with pytest.raises(ValueError, match="19 classes, label set 'fewer' has 12"):
        SemanticPredictor(deeplab, fewer)
    with pytest.raises(ValueError, match="8 classes, label set 'fewer' has 1 thing"):
        InstancePredictor(mask_rcnn, fewer)


@pytest.mark.parametrize("size", [(80, 112), (40, 56), (121, 170), (79, 113)])
def test_images_are_resized_as_pillow_does(size):
    frame = torch.from_numpy(IMAGE).permute(2, 0, 1)
    expected = np.asarray(Image.fromarray(IMAGE).resize(size[::-1], Image.Resampling.BILINEAR))
    found = resize(frame, size)
    assert found.dtype == torch.uint8
    assert np.abs(found.permute(1, 2, 0).numpy() - expected.astype(int)).max() <= 1


@pytest.mark.gpu
def test_images_on_the_gpu_are_resized_to_within_a_level():
    frame = torch.from_numpy(IMAGE).permute(2, 0, 1)
    difference = resize(frame.cuda(), (121, 170)).cpu().int() - resize(frame, (121, 170)).int()
    assert difference.abs().max() <= 1


def mapped(class_ids):
    torch.manual_seed(0)
    architecture = {
        "name": "mask_rcnn",
        "backbone": "mobilenet_v2_fpn",
        "num_classes": len(class_ids),
        "class_ids": class_ids,
        "fpn_channels": 16,
        "box_channels": 32,
        "mask_channels": [16],
        # Every class of every region.
        "score_threshold": 0.0,
        "proposals": 10,
        "detections": 100,
    }
    return build(architecture).eval()


def test_classes_of_other_networks_are_mapped_or_left_out():
    class_ids = [24, 0, 26, 0, 0, 28, 33, 0]
    network = mapped(class_ids)
    found = InstancePredictor(network, CITYSCAPES)(IMAGE)
    with torch.inference_mode():
        every = network([torch.from_numpy(IMAGE).permute(2, 0, 1) / 255])[0]
    mapped_ids = torch.tensor(class_ids)[every["labels"] - 1]
    kept = mapped_ids > 0
    assert 0 < kept.sum() < len(kept)
    assert torch.equal(found.class_ids, mapped_ids[kept])
    torch.testing.assert_close(found.boxes, every["boxes"][kept])
    with pytest.raises(ValueError, match=r"has label ids \[7, 99\], which are no things of label"):
        InstancePredictor(mapped([24, 7, 99]), CITYSCAPES)
