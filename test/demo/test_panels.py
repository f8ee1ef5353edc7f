import cv2
import numpy as np
import pytest

from panoptic_ros.datasets.picture_files import write_png
from panoptic_ros.demo.panels import composed, write_film

RED, BLUE = (255, 0, 0), (0, 0, 255)


def plain(height, width, color):
    return np.full((height, width, 3), color, np.uint8)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((6, 10), (6, 20)), ((512, 1024), (512, 2048)), ((720, 1280), (576, 2048))],
)
def test_without_ground_camera_and_overlay_are_beside_each_other(size, expected):
    picture = composed({"": (plain(*size, RED), plain(*size, BLUE))})
    assert picture.shape == (*expected, 3)
    assert (picture[:, : expected[1] // 2] == RED).all()
    assert (picture[:, expected[1] // 2 :] == BLUE).all()


def test_the_ground_is_as_high_as_camera_and_overlay():
    ground = plain(300, 200, BLUE)
    ground[0] = RED
    picture = composed({"": (plain(512, 1024, RED), plain(512, 1024, BLUE))}, ground)
    assert picture.shape == (1024, 1024 + 683, 3)
    assert (picture[:512, :1024] == RED).all()
    assert (picture[512:, :1024] == BLUE).all()
    assert (picture[:3, 1024:] == RED).all()
    assert (picture[4:, 1024:] == BLUE).all()
    small = composed({"": (plain(100, 50, RED),) * 2}, ground)
    assert small.shape == (200, 50 + 133, 3)


def test_other_cameras_lie_below_the_first_one_by_name():
    views = {
        "front": (plain(512, 1024, RED), plain(512, 1024, BLUE)),
        "rear": (plain(224, 640, BLUE), plain(224, 640, RED)),
    }
    picture = composed(views, plain(300, 200, BLUE))
    assert picture.shape == (1024 + 179, 1024 + 802, 3)
    assert (picture[100:512, :1024] == RED).all()
    assert (picture[512:1024, :1024] == BLUE).all()
    assert (picture[1100:, :512] == BLUE).all()
    assert (picture[1024:, 512:1024] == RED).all()
    for row in (0, 1024):
        assert (picture[row : row + 50, :200] == 255).all(axis=-1).any(), "the name"


def test_film_plays_the_pictures(tmp_path):
    files = []
    for i, level in enumerate((0, 120, 240)):
        files.append(tmp_path / f"{i}.png")
        write_png(files[-1], plain(101, 2001, (level,) * 3))
    if not write_film(files, tmp_path / "film.mp4", rate=5.0):
        pytest.skip("this OpenCV has no VP9 encoder")
    film = cv2.VideoCapture(str(tmp_path / "film.mp4"))
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(5)
    for level in (0, 120, 240):
        _, frame = film.read()
        assert frame.shape == (64, 1280, 3)
        assert frame.mean() == pytest.approx(level, abs=8)
