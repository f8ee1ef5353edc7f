import argparse
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2

from panoptic_ros import checkpoints
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.predictors import InstancePredictor, Limits
from panoptic_ros.networks import build

DATA = Path(__file__).parents[1] / "data"
TRAIN = 31


def spread(shape, phase):
    """Return values in -1..1 that look random and are the same with every NumPy."""
    i = np.arange(np.prod(shape, dtype=int), dtype=np.float64)
    return np.sin(1e4 * ((i * 0.6180339887498949 + phase * 0.3) % 1 * 2 - 1)).reshape(shape)


def detectron2_tensor(name, shape, phase):
    values = spread(shape, phase * 7.3 + 0.1)
    if name.endswith("running_var"):
        return (1 + values / 2) * (2e4 if "stem" in name else 1)
    if name.endswith("norm.weight"):
        return (0.5 if "conv3" in name else 1) * (1 + values / 4)
    if len(shape) == 1:
        return values / 10
    gains = {"anchor_deltas": 0.2, "bbox_pred": 0.7, "cls_score": 6.0, "predictor": 3.0}
    gain = next((gain for part, gain in gains.items() if part in name), 1.0)
    return values * gain * (3 / np.prod(shape[1:])) ** 0.5


@pytest.fixture(scope="module")
def detectron2_tensors():
    lines = (DATA / "mask_rcnn_cityscapes_tensors.txt").read_text().splitlines()
    listed = [line.split() for line in lines if not line.startswith("#")]
    assert len(listed) == 307
    return {
        name: detectron2_tensor(name, tuple(map(int, shape)), i).astype(np.float32)
        for i, (name, *shape) in enumerate(listed)
    }


@pytest.fixture(scope="module")
def detectron2_file(detectron2_tensors, tmp_path_factory):
    file = tmp_path_factory.mktemp("zoo") / "model_final.pkl"
    content = {"model": detectron2_tensors, "__author__": "Detectron2 Model Zoo"}
    file.write_bytes(pickle.dumps(content, protocol=2))
    return file


@pytest.fixture(scope="module")
def converted(detectron2_file):
    return checkpoints.convert(detectron2_file)


# Computed with detectron2 0.6 from the same tensors and image: the first eight of 100
# detections, all of class 5 (train), as box, score and three pixels of the mask.
DETECTIONS = (
    ((183.1140, 0.2971, 226.0458, 14.6723), 0.409920, (0.11271, 0.12364, 0.13911)),
    ((163.7499, 0.2929, 206.5142, 14.7328), 0.409509, (0.11290, 0.12291, 0.14138)),
    ((50.6597, 0.5167, 132.0489, 25.2238), 0.409462, (0.11392, 0.13280, 0.14234)),
    ((7.2574, 0.2694, 46.3838, 13.3113), 0.409451, (0.11329, 0.13749, 0.14203)),
    ((50.2224, 0.2917, 92.7888, 14.7167), 0.409346, (0.11272, 0.12296, 0.14061)),
    ((155.0892, 0.5210, 236.0873, 25.3538), 0.409223, (0.11479, 0.13240, 0.14286)),
    ((79.1834, 0.2970, 122.0886, 14.6816), 0.408979, (0.11278, 0.12277, 0.13984)),
    ((102.9737, 0.9655, 260.0000, 46.9231), 0.408634, (0.11426, 0.12121, 0.14092)),
)


def test_detections_are_detectron2s(converted):
    assert converted.label_set == "cityscapes"
    blocks = (spread((150 // 8 + 1, 260 // 8 + 1, 3), 0.77) + 1) / 2 * 255
    bgr = blocks.astype(np.uint8).repeat(8, 0).repeat(8, 1)[:150, :260]
    predictor = InstancePredictor(converted.module, CITYSCAPES, Limits(192, 320))
    found = predictor(bgr[..., ::-1])
    assert found.class_ids.tolist() == [TRAIN] * 100
    for box, score, pixels in DETECTIONS:
        # By place: scores are so near each other that rounding may exchange two.
        difference, nearest = (found.boxes - torch.tensor(box)).abs().amax(1).min(0)
        assert difference < 0.05
        assert found.scores[nearest].item() == pytest.approx(score, abs=1e-4)
        mask = found.masks[nearest]
        assert [mask[0, 0].item(), mask[14, 14].item(), mask[20, 5].item()] == pytest.approx(
            pixels, abs=1e-3
        )


def test_a_converted_network_is_saved_and_loaded_as_any(converted, tmp_path):
    checkpoints.save(
        converted.module,
        tmp_path / "zoo",
        architecture=converted.architecture,
        label_set=converted.label_set,
        command="",
        data=None,
        seed=None,
        scores={},
        **converted.notes,
    )
    loaded, side = checkpoints.load(tmp_path / "zoo")
    assert side["converted_from"] == "detectron2_mask_rcnn"
    image = torch.rand(3, 96, 96)
    # A predictor may have had it, which keeps channels innermost.
    module = converted.module.to(memory_format=torch.contiguous_format)
    with torch.inference_mode():
        expected, found = module([image])[0], loaded([image])[0]
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_the_background_comes_first_and_has_no_box_and_mask(converted, detectron2_tensors):
    state = converted.module.state_dict()
    theirs = {name: torch.from_numpy(values) for name, values in detectron2_tensors.items()}
    scores = theirs["roi_heads.box_predictor.cls_score.bias"]
    assert torch.equal(state["roi_heads.box_predictor.cls_score.bias"], scores[[8, *range(8)]])
    boxes = state["roi_heads.box_predictor.bbox_pred.weight"]
    assert torch.equal(boxes[4:], theirs["roi_heads.box_predictor.bbox_pred.weight"])
    masks = state["roi_heads.mask_predictor.mask_fcn_logits.bias"]
    assert torch.equal(masks[1:], theirs["roi_heads.mask_head.predictor.bias"])
    assert not boxes[:4].any()


def torchvision(make, **settings):
    torch.manual_seed(1)
    return make(
        weights=None,
        weights_backbone=None,
        min_size=128,
        max_size=192,
        box_score_thresh=0.001,
        **settings,
    ).eval()


@pytest.mark.parametrize("make", [maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2])
def test_detections_are_torchvisions(tmp_path, make):
    theirs = torchvision(make)
    torch.save(theirs.state_dict(), tmp_path / "coco.pth")
    ours = checkpoints.convert(tmp_path / "coco.pth").module
    ours.roi_heads.score_thresh = 0.001
    # As many proposals as theirs, of which the first ones tell as much in a tenth of the time.
    assert ours.rpn._post_nms_top_n["testing"] == theirs.rpn._post_nms_top_n["testing"] == 1000
    for network in (ours, theirs):
        network.rpn._post_nms_top_n = {"training": 100, "testing": 100}
    image = torch.rand(3, 128, 192, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = theirs([image])[0], ours([image])[0]
    assert len(found["scores"]) > 0
    for key in ("boxes", "scores", "labels"):
        assert torch.equal(found[key], expected[key])
    # COCO's person, bicycle, car, motorcycle, aeroplane, bus, train, truck, boat.
    assert ours.class_ids[:9] == (24, 33, 26, 32, 0, 28, 31, 27, 0)
    assert not any(ours.class_ids[9:])


def test_torchvisions_first_weights_have_old_names_and_an_epsilon_of_0(tmp_path):
    theirs = torchvision(maskrcnn_resnet50_fpn)
    old = {}
    for name, tensor in theirs.state_dict().items():
        name = re.sub(r"(_blocks\.\d|head\.conv)(\.0)+\.", r"\1.", name)
        name = re.sub(r"mask_head\.(\d)\.0", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}", name)
        if not name.endswith("num_batches_tracked"):
            old[name] = tensor
    assert {"rpn.head.conv.weight", "backbone.fpn.inner_blocks.0.bias"} <= set(old)
    torch.save(old, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    ours = checkpoints.convert(tmp_path / "old.pth").module
    state = ours.state_dict()
    for name, tensor in theirs.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(state[name], tensor)
    assert ours.backbone.body.bn1.eps == 0


@pytest.fixture(scope="module")
def deeplab():
    return build({"name": "deeplabv3plus_mobilenetv2", "num_classes": 19}).state_dict()


def write(path, tensors):
    torch.save({"model_state": tensors, "cur_itrs": 3, "best_score": np.float64(0.7)}, path)
    return path


def test_tensors_beside_numpys_numbers_are_read(tmp_path, deeplab):
    # torch.load(weights_only=True) refuses such a file for its score.
    module = checkpoints.convert(write(tmp_path / "a.pth", deeplab)).module
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, deeplab[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"classifier.aspp.project.1.bias": None},
            r"missing tensors \(1\): classifier.aspp.project.1.bias",
        ),
        ({"extra.weight": torch.zeros(2)}, r"superfluous tensors \(1\): extra.weight"),
        (
            {"classifier.project.0.weight": torch.zeros(48, 24)},
            r"misshapen .* classifier.project.0.weight \[48, 24\] instead of \[48, 24, 1, 1\]",
        ),
        (
            {"classifier.project.1.bias": torch.full((48,), torch.nan)},
            "classifier.project.1.bias with values that are not finite",
        ),
        (
            {"classifier.classifier.3.weight": torch.zeros(21, 256, 1, 1)},
            r"for another number of classes: .* \[21, 256, 1, 1\], Cityscapes need 19 outputs",
        ),
    ],
    ids=["missing", "superfluous", "misshapen", "not finite", "classes"],
)
def test_every_tensor_is_accounted_for(tmp_path, deeplab, change, message):
    tensors = {n: t for n, t in {**deeplab, **change}.items() if t is not None}
    with pytest.raises(ValueError, match=rf"changed.pth:? .*{message}"):
        checkpoints.convert(write(tmp_path / "changed.pth", tensors))


def test_a_detector_for_other_classes_says_so(tmp_path):
    tensors = {
        "proposal_generator.rpn_head.conv.weight": np.zeros(1),
        "roi_heads.box_predictor.cls_score.weight": np.zeros((81, 1024), np.float32),
    }
    (tmp_path / "coco.pkl").write_bytes(pickle.dumps({"model": tensors}))
    with pytest.raises(ValueError, match=r"another number of classes: .* \[81, 1024\], the things"):
        checkpoints.convert(tmp_path / "coco.pkl")


def test_tensors_of_no_known_network_are_named(tmp_path):
    torch.save({"state_dict": {"head.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"1 tensors, of none of the known kinds .*'head.weight'"):
        checkpoints.convert(tmp_path / "other.pth")
    with pytest.raises(ValueError, match="unknown kind 'yolo'; known: deeplabv3plus, detectron2_"):
        checkpoints.convert(tmp_path / "other.pth", "yolo")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        checkpoints.convert(tmp_path / "none.pth")


def test_a_checkpoint_of_torchvisions_training_script_is_read(tmp_path):
    """What references/detection/train.py keeps, here of a run with averages under torch.compile."""
    network = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    state = network.state_dict()
    averaged = {f"module._orig_mod.{name}": tensor + 1 for name, tensor in state.items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [16, 22])
    content = {
        "model": state,
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": scheduler.state_dict(),
        "args": argparse.Namespace(data_path="/data/coco", lr_steps=[16, 22], amp=True),
        "epoch": 25,
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
        "model_ema": averaged | {"n_averaged": torch.tensor(7)},
    }
    torch.save(content, tmp_path / "model_25.pth")
    converted = checkpoints.convert(tmp_path / "model_25.pth")
    assert converted.notes["part"] == "model_ema"
    name = "roi_heads.box_predictor.cls_score.bias"
    assert torch.equal(converted.module.state_dict()[name], state[name] + 1)


def test_safetensors_of_a_known_network_are_read(tmp_path, deeplab):
    safetensors.torch.save_file(
        {f"module.{name}": tensor.clone() for name, tensor in deeplab.items()},
        tmp_path / "a.safetensors",
    )
    module = checkpoints.convert(tmp_path / "a.safetensors").module
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, deeplab[name])
