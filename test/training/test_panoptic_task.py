import folded_file
import numpy as np
import pytest
import torch
import toy
from shared_network import ONE_STAGE, architecture

from panoptic_ros.datasets import open_dataset
from panoptic_ros.fusion.conv_head import ConvHead
from panoptic_ros.fusion.stack import stack
from panoptic_ros.networks.panoptic.shared import SEMANTIC_HEADS
from panoptic_ros.training.folded_mobilenet import read_folded
from panoptic_ros.training.loop import train
from panoptic_ros.training.panoptic import PanopticConfig, PanopticTask
from panoptic_ros.training.settings import AugmentationConfig

REGIONS = {"name": "mask_rcnn", "box_channels": 8, "mask_channels": [8], "proposals": 20}


@pytest.fixture(scope="module")
def make_task(tmp_path_factory):
    data = toy.write(tmp_path_factory.mktemp("toy"), frames=2)
    frames = [open_dataset("cityscapes", data, split) for split in ("train", "val")]

    def make(instances, semantic="fpn_branch", **settings):
        config = PanopticConfig(
            architecture=architecture(instances, semantic=semantic),
            augmentation=AugmentationConfig(crop=(128, 256)),
            regions=16,
            **settings,
        )
        return PanopticTask(config, *frames)

    return make


def test_a_shared_network_starts_from_a_folded_backbone(make_task, tmp_path):
    path = folded_file.write(tmp_path / "mobilenet.safetensors")
    task = make_task(REGIONS, initialize=str(path))
    assert task.notes["initial"]["origin"] == path.name
    second = read_folded(path)[1][0]
    assert any(torch.equal(p, second) for p in task.trainee.backbone.parameters())


@pytest.mark.parametrize("instances", [REGIONS, ONE_STAGE], ids=["mask_rcnn", "yolact"])
def test_weights_scale_the_losses(make_task, instances):
    def losses(**weights):
        task = make_task(instances, **weights)
        batch = task.collate([task.samples[0], task.samples[1]])
        torch.manual_seed(1)
        return task.trainee.train()(batch)

    plain = losses()
    scaled = losses(semantic_weight=0.5, instance_weight=0.25)
    assert set(plain) == set(scaled)
    for name, value in plain.items():
        weight = 0.5 if name == "cross_entropy" else 0.25
        assert scaled[name].item() == pytest.approx(weight * value.item(), rel=1e-4), name


def test_a_batch_holds_the_targets_of_the_same_crops(make_task):
    task = make_task(REGIONS)
    images, channels, instances = task.collate([task.samples[0], task.samples[1]])
    assert images.shape == (2, 3, 128, 256)
    assert channels.shape == (2, 128, 256)
    things = {i for i, c in enumerate(task.labels.classes) if c.is_thing}
    for of_image, target in zip(channels, instances, strict=True):
        held = target["masks"].bool().any(0)
        # Every instance's pixels are of a thing class; the small ones are none.
        assert set(of_image[held].unique().tolist()) <= things


def test_validation_counts_add_up_over_processes(make_task):
    task = make_task(ONE_STAGE)
    task.trainee.eval()
    whole = task.validate(task.trainee, (0, 1))
    halves = [task.validate(task.trainee, (i, 2)) for i in (0, 1)]
    assert whole.shape == (4, 19)
    assert np.allclose(sum(halves), whole)
    # Two cars and two persons in each of both frames, found or missed.
    car = [c.name for c in task.labels.classes].index("car")
    assert whole[1, car] + whole[3, car] == 4


def test_pictures_show_two_frames_and_what_is_made_of_them(make_task):
    task = make_task(ONE_STAGE)
    task.trainee.eval()
    pictures = task.pictures(task.trainee)
    assert list(pictures) == [f"toytown_00100{i}_000000" for i in (0, 1)]
    for name, picture in pictures.items():
        assert (picture.shape, picture.dtype) == ((3 * 128, 256, 3), np.uint8)
        image, _ = toy.frame(int(name.split("_")[1]))
        assert np.array_equal(picture[:128], image)


def test_scores_are_panoptic_quality(make_task):
    task = make_task(ONE_STAGE)
    counts = np.zeros((4, 19))
    road, car = 0, [c.name for c in task.labels.classes].index("car")
    counts[:, road] = (1.8, 2, 0, 0)
    counts[:, car] = (0.9, 1, 1, 1)
    scores = task.scores(task.trainee, counts)
    assert scores["PQ road"] == pytest.approx(90)
    assert scores["PQ car"] == pytest.approx(45)
    assert scores["PQ"] == pytest.approx(67.5)
    assert scores["PQ things"] == pytest.approx(45)
    assert "PQ bus" not in scores


def test_another_architecture_is_refused(make_task, tmp_path):
    data = toy.write(tmp_path / "toy", frames=1)
    frames = open_dataset("cityscapes", data, "train")
    config = PanopticConfig(architecture={"name": "deeplabv3plus_mobilenetv2", "num_classes": 19})
    with pytest.raises(ValueError, match="train panoptic needs shared_panoptic"):
        PanopticTask(config, frames, frames)


def test_upsnet_s_loss_has_its_weight_and_trains_both_heads(make_task):
    task = make_task(REGIONS, panoptic_weight=0.5, semantic_weight=0.0, instance_weight=0.0)
    batch = task.collate([task.samples[0], task.samples[1]])
    plain = make_task(REGIONS, panoptic_weight=1.0)
    torch.manual_seed(1)
    losses = task.trainee.train()(batch)
    torch.manual_seed(1)
    whole = plain.trainee.train()(batch)
    assert losses["panoptic"].item() == pytest.approx(0.5 * whole["panoptic"].item(), rel=1e-4)
    sum(losses.values()).backward()
    network = task.trainee.network
    heads = [network.semantic, network.instances.roi_heads.mask_head]
    assert all(p.grad.abs().sum() > 0 for head in heads for p in head.parameters() if p.ndim > 1)


@pytest.mark.parametrize("name", ["panoptic_weight", "head_weight"])
def test_losses_on_true_boxes_need_masks_of_boxes(make_task, name):
    with pytest.raises(ValueError, match=f"{name} needs architecture"):
        make_task(ONE_STAGE, **{name: 0.5})


def test_a_head_learns_with_the_network_and_merges_in_validation(make_task, monkeypatch):
    task = make_task(REGIONS, head_weight=0.5, semantic_weight=0.0, instance_weight=0.0)
    losses = task.trainee.train()(task.collate([task.samples[0], task.samples[1]]))
    sum(losses.values()).backward()
    # The semantic head follows once the head has left the identity, which sees masks alone.
    assert all(
        p.grad.any() for p in task.trainee.network.instances.roi_heads.mask_head.parameters()
    )
    assert task.trainee.head.cnn(26).mix.weight.grad.any()
    assert task.unused_parameters
    merged = []
    monkeypatch.setattr(ConvHead, "__call__", lambda self, *a: merged.append(self) or stack(*a))
    task.validate(task.trainee.eval(), (0, 1))
    assert [head.head for head in merged] == [task.trainee.head] * 2


@pytest.mark.parametrize("name", ["semantic_weight", "panoptic_weight", "head_weight"])
def test_negative_weights_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is -1"):
        PanopticConfig(architecture={}, **{name: -1.0})


# None: YOLACT, which has no true boxes to compute the other losses on.
@pytest.mark.usefixtures("other_precision")
@pytest.mark.parametrize("semantic", [None, *SEMANTIC_HEADS])
def test_mixed_precision_trains_and_validates(make_task, tmp_path, semantic):
    instances = ONE_STAGE if semantic is None else REGIONS
    extra = 0.0 if semantic is None else 1.0
    task = make_task(
        instances,
        semantic=semantic or "fpn_branch",
        mixed_precision="bf16",
        steps=1,
        batch_size=2,
        workers=0,
        head_weight=extra,
        panoptic_weight=extra,
    )
    outcome = train(task, tmp_path / "run")
    assert np.isfinite(outcome.scores["PQ"])
    for name, value in outcome.trainee.state_dict().items():
        assert torch.isfinite(value).all(), name
