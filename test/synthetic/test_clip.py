from itertools import islice

import numpy as np
import pytest

from panoptic_ros.labels import CITYSCAPES, class_ids
from panoptic_ros.synthetic.clip import FRAMES, draw_clip

SMALL = (128, 256)
IDS = {c.name: c.id for c in CITYSCAPES.classes}


@pytest.fixture(scope="module")
def clip():
    return list(draw_clip(size=SMALL))


def test_frames_and_labels_fit_together(clip):
    assert len(clip) == FRAMES
    for image, labels in clip:
        assert (image.shape, image.dtype) == ((*SMALL, 3), np.uint8)
        assert (labels.shape, labels.dtype) == (SMALL, np.uint16)


def test_the_same_seed_gives_the_same_pixels_and_another_does_not(clip):
    again = list(islice(draw_clip(size=SMALL), 3))
    for (image, labels), (image_again, labels_again) in zip(clip, again, strict=False):
        assert np.array_equal(image, image_again)
        assert np.array_equal(labels, labels_again)
    other, _ = next(draw_clip(size=SMALL, seed=1))
    assert (other != clip[0][0]).mean() > 0.5


def test_every_value_is_one_that_the_encoding_allows(clip):
    things = {c.id for c in CITYSCAPES.things}
    for _, labels in clip:
        for value in np.unique(labels).tolist():
            assert value in CITYSCAPES.by_id if value < 1000 else value // 1000 in things


def test_what_a_street_shows(clip):
    seen = {v for _, labels in clip for v in np.unique(class_ids(labels)).tolist()}
    missing = {"wall", "fence", "truck", "train", "motorcycle"}
    assert seen == {i for name, i in IDS.items() if name not in missing}


def test_road_below_sky_above(clip):
    for _, labels in clip:
        assert labels[-1, 100] == IDS["road"]
        assert labels[2, 128] == IDS["sky"]


def test_an_object_keeps_its_number_and_grows_as_the_drive_comes_nearer(clip):
    """The cyclist on the crossing, 40 m ahead at first."""
    rider = IDS["rider"] * 1000
    areas = [int((labels == rider).sum()) for _, labels in clip]
    assert areas[-1] > 3 * max(areas[:10])
    assert {v for _, labels in clip for v in np.unique(labels).tolist() if v // 1000 == 25} == {
        rider
    }


def test_labels_lie_where_the_picture_shows_them(clip):
    """The green light is green, the sky blue, in the last frame, where both are near."""
    image, labels = clip[-1]
    red, green, blue = np.moveaxis(image[labels == IDS["sky"]].mean(0), -1, 0)
    assert blue > green > red
    lamps = image[labels == IDS["traffic light"]].astype(int)
    assert (lamps[:, 1] - lamps[:, 0]).max() > 100
