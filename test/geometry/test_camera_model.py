from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from panoptic_ros.geometry.camera_model import CameraModel

K = np.array([[700.0, 0, 639.5], [0, 690.0, 359.5], [0, 0, 1]])
DISTORTED = [
    ("plumb_bob", [-0.3, 0.1, 0.001, -0.002, -0.01]),
    ("plumb_bob", [-0.2, 0.05, 0.001, -0.002]),
    ("rational_polynomial", [0.8, -0.3, 1e-4, -2e-4, 0.01, 1.1, -0.2, 0.05]),
    ("rational_polynomial", [-0.2, 0.05, 0.001, -0.002]),
    ("rational_polynomial", [-0.3, 0.1, 0.001, -0.002, -0.01]),
    ("plumb_bob", [0.8, -0.3, 1e-4, -2e-4, 0.01, 1.1, -0.2, 0.05]),
    *(
        (name, [0.8, -0.3, 1e-4, -2e-4, 0.01, 1.1, -0.2, 0.05, 1e-3, -1e-3, 2e-3, 1e-3, *tilt])
        for name in ("plumb_bob", "rational_polynomial")
        for tilt in ([], [0.01, -0.02])
    ),
    ("fisheye", [0.02, -0.01, 0.003, -0.001]),
    ("Equidistant", [0.02, -0.01, 0.003, -0.001]),
    ("kannala_brandt4", [0.02, -0.01, 0.003, -0.001]),
    ("radtan", [-0.2, 0.05, 0.001, -0.002]),
    ("opencvFisheye", [0.02, -0.01, 0.003, -0.001]),
    ("OPENCV_FISHEYE", [0.02, -0.01, 0.003, -0.001]),
    ("equi", [0.02, -0.01, 0.003, -0.001]),
    ("KannalaBrandt4", [0.02, -0.01, 0.003, -0.001]),
    ("opencvPinhole", [-0.2, 0.05, 0.001, -0.002]),
    ("radial-tangential", [-0.2, 0.05, 0.001, -0.002]),
    ("PlumbBob", [-0.2, 0.05, 0.001, -0.002]),
    (" Plumb-Bob ", [-0.2, 0.05, 0.001, -0.002]),
    ("equidistant", [0.02, -0.01, 0.003, -0.001]),
]


ROI = ("x_offset", "y_offset", "width", "height")


def camera_info(**changes) -> SimpleNamespace:
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
    fields = {
        "width": 1280,
        "height": 720,
        "distortion_model": "plumb_bob",
        "d": np.zeros(5),
        "k": K.ravel(),
        "binning_x": 0,
        "binning_y": 0,
        "roi": roi,
    }
    return SimpleNamespace(**{**fields, **changes})


def points_ahead() -> np.ndarray:
    rng = np.random.default_rng(0)
    points = rng.uniform([-0.6, -0.4, 1], [0.6, 0.4, 1], (200, 3))
    return points * rng.uniform(1, 50, (200, 1))


@pytest.mark.parametrize(("model", "d"), DISTORTED)
def test_projects_as_opencv_and_back(model, d):
    camera = CameraModel.from_camera_info(camera_info(distortion_model=model, d=d))
    points = points_ahead()
    pixels, visible = camera.project(points)
    fisheye = d == [0.02, -0.01, 0.003, -0.001]
    project = cv2.fisheye.projectPoints if fisheye else cv2.projectPoints
    expected = project(points[:, None], np.zeros(3), np.zeros(3), K, np.array(d))[0].reshape(-1, 2)
    assert visible.all()
    np.testing.assert_allclose(pixels, expected, atol=1e-9)
    np.testing.assert_allclose(camera.rays(pixels), points / points[:, 2:], atol=1e-6)


def test_projects_a_pinhole_exactly():
    camera = CameraModel(1280, 720, K)
    pixels, visible = camera.project([[0, 0, 5], [1, -0.5, 10]])
    assert visible.all()
    np.testing.assert_allclose(pixels, [[639.5, 359.5], [709.5, 325]])
    np.testing.assert_allclose(camera.rays(pixels), [[0, 0, 1], [0.1, -0.05, 1]], atol=1e-12)


@pytest.mark.parametrize("model", ["", " ", "none", "None", "pinhole", "radtan", "plumb_bob"])
@pytest.mark.parametrize("d", [[], [0.0] * 5])
def test_a_camera_that_bends_nothing(model, d):
    camera = CameraModel.from_camera_info(camera_info(distortion_model=model, d=d))
    expected = CameraModel(1280, 720, K).project(points_ahead())
    for found, wanted in zip(camera.project(points_ahead()), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_what_calibrations_give_as_skew_of_square_pixels_is_taken():
    skewed = K + np.array([[0, 0.3, 0], [0, 0, 0], [0, 0, 0]])
    CameraModel.from_camera_info(camera_info(k=skewed.ravel()))


def test_names_of_one_model_are_equal():
    d = [0.02, -0.01, 0.003, -0.001]
    assert CameraModel(1280, 720, K, "fisheye", d) == CameraModel(1280, 720, K, "equidistant", d)
    assert CameraModel(1280, 720, K, "none") == CameraModel(1280, 720, K)


def test_sees_nothing_behind_it_nor_beside_the_picture():
    camera = CameraModel(1280, 720, K)
    # The picture ends half a pixel beyond the centres of its outermost pixels.
    edge = (np.array([[-0.4, 100], [-0.6, 100]]) - K[:2, 2]) / [700, 690]
    points = [[0, 0, -5], [0, 0, 0], [9, 0, 1], *np.append(edge, [[1], [1]], axis=1)]
    assert camera.project(points)[1].tolist() == [False, False, False, True, False]


def test_does_not_see_what_the_polynomial_folds_back_into_the_picture():
    camera = CameraModel(1280, 720, K, "plumb_bob", [-0.3, 0, 0, 0, 0])
    # r - 0.3 r^3 turns back at r = sqrt(1 / 0.9) = 1.054 and is 0 again at 1.826.
    points = [[1.0, 0, 1], [1.1, 0, 1], [1.8, 0, 1]]
    assert camera.project(points)[1].tolist() == [True, False, False]
    folded = cv2.projectPoints(
        np.array([[[1.8, 0, 1.0]]]), np.zeros(3), np.zeros(3), K, np.array([-0.3, 0, 0, 0, 0])
    )[0]
    assert 0 < folded[0, 0, 0] < 1280


@pytest.mark.parametrize(("model", "d"), DISTORTED)
def test_region_of_interest_and_binning_keep_the_centres_of_pixels(model, d):
    roi = SimpleNamespace(x_offset=100, y_offset=60, width=800, height=600, do_rectify=False)
    whole = CameraModel.from_camera_info(camera_info(distortion_model=model, d=d))
    part = CameraModel.from_camera_info(
        camera_info(distortion_model=model, d=d, roi=roi, binning_x=2, binning_y=4)
    )
    assert part.size == (150, 400)
    on_sensor, _ = whole.project(points_ahead())
    pixels, visible = part.project(points_ahead())
    # Pixel (0, 0) of the part covers the sensor's pixels 100, 101 and 60 to 63.
    np.testing.assert_allclose(pixels * [2, 4] + [100.5, 61.5], on_sensor, atol=1e-9)
    inside = (on_sensor > [99.5, 59.5]) & (on_sensor < [899.5, 659.5])
    assert (visible == inside.all(axis=1)).all()
    rays = points_ahead() / points_ahead()[:, 2:]
    np.testing.assert_allclose(part.rays(pixels), rays, atol=1e-6)


def test_scales_to_a_smaller_label_image():
    camera = CameraModel(1280, 720, K, *DISTORTED[0])
    half = camera.scaled((360, 640))
    assert half.size == (360, 640)
    expected = (camera.project(points_ahead())[0] + 0.5) / 2 - 0.5
    np.testing.assert_allclose(half.project(points_ahead())[0], expected, atol=1e-9)
    assert camera.scaled((720, 1280)) is camera


def test_equal_calibrations_are_equal():
    assert CameraModel(1280, 720, K) == CameraModel(1280, 720, K.copy())
    assert hash(CameraModel(1280, 720, K)) == hash(CameraModel(1280, 720, K.copy()))
    assert CameraModel(1280, 720, K) != CameraModel(1280, 720, K, "plumb_bob", [0.1, 0, 0, 0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "width"),
        ({"k": np.zeros(9)}, "calibrated"),
        ({"k": np.full(9, np.nan)}, "K .* finite"),
        ({"k": np.diag([1e-300, 1e-300, 1.0]).ravel()}, "no positive focal lengths"),
        ({"k": (K * 1e300).ravel()}, "K .* numbers of no camera"),
        ({"k": -K.ravel()}, "no positive focal lengths"),
        ({"k": K.T.ravel()}, "row by row"),
        ({"k": K.ravel()[:8]}, "9 finite numbers"),
        # Placeholders, and shares of the picture.
        ({"k": np.eye(3).ravel()}, "no camera of 1280x720 pixels.*calibrated"),
        ({"k": [0.55, 0, 0.5, 0, 0.97, 0.5, 0, 0, 1]}, "must be in pixels"),
        ({"k": [700, 0, 1e6, 0, 690, 359.5, 0, 0, 1]}, "no camera of 1280x720 pixels"),
        ({"k": [700, 0, 639.5, 0, 690, -1e6, 0, 0, 1]}, "no camera of 1280x720 pixels"),
        ({"k": [700, 5, 639.5, 0, 690, 359.5, 0, 0, 1]}, r"skew \(K\[1\]\) is not supported"),
        ({"k": [700, 0, 639.5, 0, 690, 359.5, 0, 0, 0]}, r"K\[8\] must be 1"),
        ({"k": (2 * K).ravel()}, r"K\[8\] must be 1"),
        ({"distortion_model": "spherical\0"}, "unknown"),
        ({"distortion_model": "inverse_brown_conrady", "d": [0.1] * 5}, "unknown"),
        ({"d": [0, -1e300, 0, 0, 0]}, "D .* numbers of no camera"),
        ({"distortion_model": "spherical"}, "'spherical' is unknown.*equidistant"),
        ({"d": [0.1, 0.2]}, r"D \[0.1, 0.2\].*plumb_bob"),
        ({"d": [0.1] * 6}, r"plumb_bob 0 or 4 or 5 or 8 or 12 or 14 of them"),
        ({"d": [np.nan] * 5}, "D .* finite"),
        ({"distortion_model": "equidistant", "d": []}, r"D \[\].*equidistant"),
        ({"distortion_model": "fisheye", "d": [0.1] * 5}, "for equidistant 4 of them"),
        ({"distortion_model": "none", "d": [0.1] * 5}, r"'none', but D is \[0.1"),
        ({"distortion_model": "pinhole", "d": [0.1] * 4}, r"'pinhole', but D is \[0.1"),
        ({"distortion_model": "radtan", "d": [0.1] * 3}, r"for plumb_bob 0 or 4"),
        ({"distortion_model": "", "d": [0.1] * 3}, r"D \[0.1, 0.1, 0.1\]"),
        ({"binning_x": 2**32 - 1}, "no pixel"),
        ({"roi": SimpleNamespace(x_offset=700, y_offset=0, width=600, height=9)}, "roi"),
        # Sums that leave 32 bits, of the library whose numbers are NumPy's.
        (
            {"roi": SimpleNamespace(**dict.fromkeys(ROI, np.uint32(2**32 - 4)))},
            "leaves the sensor",
        ),
    ],
)
def test_refuses_a_message_and_says_why(changes, message):
    with pytest.raises(ValueError, match=message):
        CameraModel.from_camera_info(camera_info(**changes))


def test_pictures_of_a_cameras_own_shape_are_taken_of_any_size():
    camera = CameraModel(640, 480, [500, 0, 320, 0, 500, 240, 0, 0, 1])
    assert camera.of_pictures((240, 320)) == camera.scaled((240, 320))
    # 852 x 480 is 1280 x 720 but for rounding.
    assert CameraModel(1280, 720, camera.K).of_pictures((480, 852)).size == (480, 852)
    with pytest.raises(ValueError, match=r"640x480 pixels .* have 640x360: another shape"):
        camera.of_pictures((360, 640))
