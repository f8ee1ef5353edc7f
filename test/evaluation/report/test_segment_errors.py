import numpy as np
import pytest

from panoptic_ros.evaluation.report.segment_errors import (
    PREDICTED_COLOR,
    TRUE_COLOR,
    crop,
    worst_errors,
)
from panoptic_ros.labels import CITYSCAPES

ROAD, A, B, C = 7, 26001, 26002, 26003


def row(*runs):
    """Return a label image of one line: (value, pixels) each."""
    return np.repeat([v for v, _ in runs], [n for _, n in runs])[None].astype(np.uint16)


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        ([(ROAD, 4), (A, 6)], [(ROAD, 4), (A, 6)], []),
        ([(ROAD, 4), (A, 6)], [(ROAD, 10)], [("missed", 6, (A,), ())]),
        ([(ROAD, 10)], [(ROAD, 4), (B, 6)], [("invented", 6, (), (B,))]),
        ([(A, 5), (B, 5)], [(C, 10)], [("merged", 10, (A, B), (C,))]),
        ([(A, 10)], [(B, 5), (C, 5)], [("split", 10, (A,), (B, C))]),
        # Of another class: neither merged nor split.
        ([(A, 10)], [(24001, 10)], [("missed", 10, (A,), ()), ("invented", 10, (), (24001,))]),
        # The largest of a kind.
        ([(A, 3), (ROAD, 1), (B, 5)], [(ROAD, 9)], [("missed", 5, (B,), ())]),
        # Stuff, and groups of things, are no errors here.
        ([(26, 5), (ROAD, 5)], [(8, 10)], []),
    ],
)
def test_each_kind_of_error(truth, prediction, expected):
    found = worst_errors(row(*truth), row(*prediction), CITYSCAPES)
    assert [(e.kind, e.area, e.true, e.predicted) for e in found] == expected


def test_a_crop_shows_both_outlines():
    truth, prediction = np.full((2, 200, 400), ROAD, np.uint16)
    truth[80:120, 100:200] = A
    prediction[80:120, 100:145], prediction[80:120, 150:200] = B, C
    (error,) = worst_errors(truth, prediction, CITYSCAPES)
    assert error.kind == "split"
    picture = crop(np.zeros((200, 400, 3), np.uint8), truth, prediction, error)
    # 100 x 40 pixels with 35 and 24 more on each side, at a width of 240.
    assert picture.shape == (round(88 * 240 / 170), 240, 3)
    colors = {tuple(color) for color in picture.reshape(-1, 3).tolist()}
    assert {TRUE_COLOR, PREDICTED_COLOR} <= colors
