import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import adjust_hue

from panoptic_ros.training.augment import Augmentation, turn_hue
from panoptic_ros.training.settings import AugmentationConfig

STILL = {"flip": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}


def _frame(height=40, width=60):
    """Return an image whose red channel is its label image's low byte."""
    ids = (np.arange(height * width) // 7).reshape(height, width).astype(np.uint16)
    image = np.repeat((ids % 256).astype(np.uint8)[..., None], 3, axis=2)
    return image, ids


def _augment(seed=0, **settings):
    config = AugmentationConfig(**{**STILL, "scale": (1.0, 1.0), **settings})
    return Augmentation(config)(*_frame(), np.random.default_rng(seed))


def test_a_crop_cuts_image_and_labels_at_the_same_place():
    image, ids = _augment(crop=(20, 30))
    assert image.shape == (3, 20, 30)
    assert ids.shape == (20, 30)
    assert np.array_equal(image[0].numpy(), ids % 256)


def test_a_flip_turns_image_and_labels():
    straight, turned = _augment(crop=(40, 60)), _augment(crop=(40, 60), flip=1.0)
    assert np.array_equal(turned[1], straight[1][:, ::-1])
    assert np.array_equal(turned[0].numpy(), straight[0].numpy()[:, :, ::-1])


def test_beyond_the_frame_nothing_is_labelled():
    image, ids = _augment(crop=(50, 64))
    assert (ids[40:] == 0).all()
    assert (ids[:, 60:] == 0).all()
    assert (image[:, 40:] == 114).all()


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_scaling_invents_no_label(factor):
    _, ids = _augment(crop=(20, 30), scale=(factor, factor))
    assert set(np.unique(ids)) <= set(np.unique(_frame()[1]))
    assert ids.dtype == np.uint16


def test_ids_beyond_int16_survive_scaling():
    ids = np.full((40, 60), 33999, np.int32)
    config = AugmentationConfig(crop=(20, 30), scale=(0.5, 0.5), **STILL)
    _, out = Augmentation(config)(_frame()[0], ids, np.random.default_rng(0))
    assert out.dtype == np.int32
    assert (out == 33999).all()


def test_colour_changes_leave_the_labels_alone():
    plain_image, plain_ids = _augment(crop=(40, 60))
    image, ids = _augment(crop=(40, 60), brightness=0.5, contrast=0.5, saturation=0.5, hue=0.1)
    assert np.array_equal(ids, plain_ids)
    assert not np.array_equal(image.numpy(), plain_image.numpy())


@pytest.mark.parametrize("amount", [0.0, 0.5, 3.0])
def test_sharpness_runs_from_blurred_to_sharp(amount):
    """A blur takes 6 / 13 of a step of 65, which are 30; sharpness adds them `amount` times."""
    image = np.full((5, 6, 3), 100, np.uint8)
    image[:, 3:] = 165
    config = AugmentationConfig(crop=(5, 6), **{**STILL, "scale": (1.0, 1.0), "sharpness": amount})
    steps = set()
    for seed in range(20):
        augmented, _ = Augmentation(config)(image, image[..., 0], np.random.default_rng(seed))
        below, above = augmented[0, 2, 2:4].int().tolist()
        assert abs(below + above - 265) <= 1
        assert augmented[0, 2, 1] == 100
        steps.add(above - below)
    least, most = 65 - 30 * min(amount, 1), 65 + 30 * amount
    assert least - 1 <= min(steps) <= least + 10 * amount
    assert most - 10 * amount <= max(steps) <= most + 1
    assert (len(steps) > 5) == bool(amount)


def test_the_generator_decides_everything():
    settings = {"crop": (20, 30), "scale": (0.6, 1.5), "flip": 0.5, "brightness": 0.3}
    first, same, other = (_augment(seed=s, **settings) for s in (1, 1, 2))
    assert np.array_equal(first[0].numpy(), same[0].numpy())
    assert np.array_equal(first[1], same[1])
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("turn", [-0.3, -0.02, 0.01, 0.1])
def test_hue_turns_as_in_torchvision(turn):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    image[0] = image[0, :, :1]  # grey has no hue
    turned = turn_hue(image, turn)
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    expected = adjust_hue(pixels, turn).permute(1, 2, 0).numpy().astype(int)
    assert np.array_equal(turned[0], image[0])
    # 256 steps of the circle, 6 of a channel's values each, and of saturation: three roundings.
    assert np.abs(turned - expected).max() <= 12
    assert np.abs(turned - expected).mean() < 2


def test_a_hue_turned_by_nothing_is_the_same_image():
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    assert np.array_equal(turn_hue(image, 0.0), image)
