import base64

import cv2
import numpy as np
import pytest
from report_example import CAR, PERSON, ROAD, example_frame

from panoptic_ros.evaluation.report import pictures
from panoptic_ros.evaluation.report.pictures import ReportFrame
from panoptic_ros.labels import CITYSCAPES

DIMMED = 90 // 2


def _tint(color, value=DIMMED):
    return tuple(int(min(255, value // 2 + 0.75 * c)) for c in color)


def _decode(address):
    kind, content = address.split(";base64,")
    data = np.frombuffer(base64.b64decode(content), np.uint8)
    return kind, cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def _frame(truth, prediction):
    truth, prediction = np.array(truth), np.array(prediction)
    image = np.full((*truth.shape, 3), 90, np.uint8)
    return ReportFrame("f", "stack", "worst", 0.0, image, truth, prediction)


def test_a_missed_person_is_a_wrong_class_and_void_is_not_scored():
    picture = pictures.error_picture(example_frame(), CITYSCAPES)
    assert tuple(picture[2, 2]) == _tint(pictures.WRONG_CLASS)
    assert tuple(picture[0, 5]) == _tint(pictures.NOT_SCORED)
    assert tuple(picture[0, 0]) == (DIMMED,) * 3
    assert tuple(picture[3, 0]) == (DIMMED,) * 3


def test_two_cars_seen_as_one_have_the_right_class_and_no_match():
    car = CAR * 1000
    # 2 of 4 pixels are no match: IoU must be above one half.
    picture = pictures.error_picture(
        _frame([[car, car, car + 1, car + 1]], [[car] * 4]), CITYSCAPES
    )
    assert [tuple(p) for p in picture[0]] == [_tint(pictures.WRONG_SEGMENT)] * 4


def test_void_pixels_do_not_count_against_a_match():
    car = CAR * 1000
    picture = pictures.error_picture(_frame([[car, 0, 0, 3]], [[car] * 4]), CITYSCAPES)
    assert tuple(picture[0, 0]) == (DIMMED,) * 3
    assert [tuple(p) for p in picture[0, 1:]] == [_tint(pictures.NOT_SCORED)] * 3


def test_a_prediction_on_a_group_of_its_class_is_no_error():
    picture = pictures.error_picture(
        _frame([[PERSON] * 3 + [ROAD]], [[PERSON * 1000, *[PERSON * 1000 + 1] * 2, ROAD]]),
        CITYSCAPES,
    )
    assert [tuple(p) for p in picture[0]] == [(DIMMED,) * 3] * 4


def test_the_four_pictures_of_a_frame():
    found = pictures.frame_pictures(example_frame(), CITYSCAPES)
    assert list(found) == ["camera", "truth", "prediction", "error"]
    kind, truth = _decode(found["truth"])
    assert kind == "data:image/png"
    assert tuple(truth[3, 0]) == CITYSCAPES[ROAD].color
    assert tuple(truth[0, 5]) == (0, 0, 0)
    assert _decode(found["camera"])[0] == "data:image/jpeg"


def test_large_pictures_are_shrunk_in_proportion():
    kind, picture = _decode(pictures.section_picture(np.zeros((1000, 2400, 3), np.uint8)))
    assert (kind, picture.shape) == ("data:image/png", (500, 1200, 3))


def test_a_picture_file(tmp_path):
    path = tmp_path / "p.png"
    cv2.imwrite(str(path), np.full((2, 3, 3), (10, 20, 30), np.uint8))
    assert tuple(_decode(pictures.section_picture(path))[1][0, 0]) == (30, 20, 10)


def test_what_is_no_picture_is_refused(tmp_path):
    path = tmp_path / "p.png"
    path.write_text("text")
    with pytest.raises(ValueError, match=r"p\.png is no picture"):
        pictures.section_picture(path)
    with pytest.raises(ValueError, match=r"float64 \[2, 2\], not uint8"):
        pictures.section_picture(np.zeros((2, 2)))
    with pytest.raises(FileNotFoundError):
        pictures.section_picture(tmp_path / "missing.png")
