from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panoptic_ros.scores.overlaps import ids_of_colors, overlaps


def as_dict(found):
    pairs = zip(found.truth.tolist(), found.prediction.tolist(), found.pixels.tolist(), strict=True)
    return {(t, p): n for t, p, n in pairs}


def counted(truth, prediction):
    return Counter(zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True))


def test_pairs_of_a_small_image():
    truth = np.array([[1, 1, 2], [1, 2, 2]], np.uint16)
    prediction = np.array([[5, 5, 5], [0, 0, 0]], np.uint16)
    assert as_dict(overlaps(truth, prediction)) == {(1, 5): 2, (2, 5): 1, (1, 0): 1, (2, 0): 2}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_equal_to_a_plain_count(data):
    seed, height, width = (data.draw(st.integers(0, 10**6)) for _ in range(3))
    rng = np.random.default_rng(seed)
    shape = (1 + height % 7, 1 + width % 7)
    largest = data.draw(st.sampled_from([1, 3, 300, 65535, 2**24 - 1, 2**31 - 1]))
    pool = rng.integers(0, largest + 1, 5)
    truth, prediction = rng.choice(pool, shape), rng.choice(pool, shape).astype(np.uint32)
    assert as_dict(overlaps(truth, prediction)) == counted(truth, prediction)


def test_more_pairs_of_ids_than_a_histogram_holds():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 3000, (2, 100, 1000))
    assert as_dict(overlaps(truth, prediction)) == counted(truth, prediction)


def test_views_that_are_not_contiguous():
    image = np.arange(16, dtype=np.uint16).reshape(4, 4) // 3
    assert as_dict(overlaps(image[:, ::2], image.T[:, ::2])) == counted(
        image[:, ::2], image.T[:, ::2]
    )


def test_empty_images_share_nothing():
    assert as_dict(overlaps(np.zeros((0, 5), np.uint8), np.zeros((0, 5), np.uint8))) == {}


def test_colors_are_ids():
    rng = np.random.default_rng(0)
    # Colours that differ in one channel only, in any of the three.
    truth, prediction = rng.integers(0, 2, (2, 9, 11, 3), np.uint8)
    expected = counted(ids_of_colors(truth), ids_of_colors(prediction))
    assert as_dict(overlaps(truth, prediction)) == expected
    turned = [np.ascontiguousarray(image[..., ::-1])[..., ::-1] for image in (truth, prediction)]
    for pair in ((truth, turned[1]), turned):
        assert as_dict(overlaps(*pair)) == expected
    assert ids_of_colors(np.array([3, 2, 1], np.uint8)) == 1 + 256 * 2 + 65536 * 3


@pytest.mark.parametrize(
    ("truth", "prediction", "words"),
    [
        (np.zeros((2, 2)), np.zeros((2, 2), int), "truth is float64"),
        (np.zeros((2, 2), int), np.zeros((2, 2, 3), int), r"prediction is int64 \[2, 2, 3\]"),
        (np.zeros((2, 2), int), np.zeros((2, 2, 3), np.uint8), "of one size"),
        (np.zeros((2, 2), int), np.zeros((2, 3), int), r"truth is \[2, 2\] .* prediction \[2, 3\]"),
        (np.array([[0, -1]]), np.zeros((1, 2), int), "truth holds the id -1"),
    ],
)
def test_refuses(truth, prediction, words):
    with pytest.raises(ValueError, match=words):
        overlaps(truth, prediction)


@pytest.mark.parametrize("block", [1, 4, 7])
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
def test_runs_go_on_from_block_to_block(monkeypatch, block, shape):
    rng = np.random.default_rng(block)
    images = rng.integers(0, 2, (2, *shape)).astype(np.uint8)
    whole = as_dict(overlaps(*images))
    monkeypatch.setattr("panoptic_ros.scores.overlaps._BLOCK", block)
    assert as_dict(overlaps(*images)) == whole
    if len(shape) == 2:
        assert whole == counted(*images)
