import array
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from panoptic_ros.labels import CITYSCAPES, LabelClass, LabelSet
from panoptic_ros.messages import ImageRefused, decode_image
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.ros import conversions

HEADER = Header(stamp=Time(sec=12, nanosec=34), frame_id="camera_optical")
LABELS = np.uint16(
    [
        [23, 23, 23, 23, 0],
        [7, 24001, 24001, 7, 7],
        [7, 24001, 26000, 26000, 7],
    ]
)
SEGMENTS = [
    Segment(7, 7, False, 1.0, 5, (0, 1, 5, 3)),
    Segment(24001, 24, True, 0.5, 3, (1, 1, 3, 3)),
    Segment(26000, 26, True, 0.75, 2, (2, 2, 4, 3)),
    Segment(23, 23, False, 1.0, 4, (0, 0, 4, 1)),
]


def sent(msg):
    """Send a message through the middleware's serialisation, which checks every field."""
    return deserialize_message(serialize_message(msg), type(msg))


def pixels(msg, dtype):
    assert isinstance(msg.data, array.array)
    return np.frombuffer(msg.data, dtype).reshape(msg.height, msg.step // np.dtype(dtype).itemsize)


@pytest.mark.parametrize(("dtype", "encoding"), [(np.uint16, "16UC1"), (np.int32, "32SC1")])
def test_labels_message(dtype, encoding):
    label_image = LABELS.astype(dtype)
    msg = sent(conversions.MESSAGES.labels(PanopticPrediction(label_image), HEADER))
    assert msg.header == HEADER
    assert (msg.width, msg.height, msg.encoding) == (5, 3, encoding)
    assert msg.step == 5 * np.dtype(dtype).itemsize
    assert msg.is_bigendian == (sys.byteorder == "big")
    np.testing.assert_array_equal(pixels(msg, dtype), label_image)


def test_a_cropped_label_image_is_sent_without_its_surroundings():
    msg = conversions.MESSAGES.labels(PanopticPrediction(LABELS[1:, 1:3]), HEADER)
    np.testing.assert_array_equal(pixels(msg, np.uint16), LABELS[1:, 1:3])


def test_mono8_image():
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    msg = sent(conversions.MESSAGES.image(values, "mono8", HEADER))
    assert (msg.header, msg.encoding, msg.step) == (HEADER, "mono8", 3)
    np.testing.assert_array_equal(pixels(msg, np.uint8), values)


def test_rgb8_image_is_read_back_as_it_was():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    msg = sent(conversions.MESSAGES.image(image, "rgb8", HEADER))
    assert msg.header == HEADER
    np.testing.assert_array_equal(conversions.image_to_rgb(msg), image)


def test_instances_message_by_falling_score():
    msg = conversions.MESSAGES.instances(PanopticPrediction(LABELS, SEGMENTS), CITYSCAPES, HEADER)
    msg = sent(msg)
    assert msg.header == HEADER
    car, person = msg.instances
    assert (car.id, car.class_id, car.class_name, car.area) == (26000, 26, "car", 2)
    assert (person.id, person.class_id, person.class_name, person.area) == (24001, 24, "person", 3)
    assert (car.score, person.score) == (0.75, 0.5)
    assert (car.track_id, person.track_id) == (-1, -1)
    box = person.box
    assert (box.x_offset, box.y_offset, box.width, box.height) == (1, 1, 2, 2)
    assert (person.mask.header, person.mask.encoding) == (HEADER, "mono8")
    np.testing.assert_array_equal(pixels(person.mask, np.uint8), [[255, 255], [255, 0]])
    np.testing.assert_array_equal(pixels(car.mask, np.uint8), [[255, 255]])
    assert all(math.isnan(v) for v in (car.position.x, car.position.y, car.position.z))
    assert msg.position_frame == ""


def test_instances_message_names_the_frame_of_its_positions():
    msg = conversions.MESSAGES.instances(
        PanopticPrediction(LABELS, SEGMENTS),
        CITYSCAPES,
        HEADER,
        positions={24001: (3.0, -1.5, 0.2)},
        position_frame="base_link",
    )
    msg = sent(msg)
    assert msg.position_frame == "base_link"
    car, person = msg.instances
    assert math.isnan(car.position.x)
    assert (person.position.x, person.position.y, person.position.z) == (3.0, -1.5, 0.2)


def test_instances_message_without_things():
    panoptic = PanopticPrediction(LABELS, SEGMENTS[:1])
    msg = sent(conversions.MESSAGES.instances(panoptic, CITYSCAPES, HEADER))
    assert msg.header == HEADER
    assert msg.instances == []


def test_label_info_message():
    classes = (
        LabelClass(9, "cart", True, (255, 0, 51)),
        LabelClass(2, "floor", False, (0, 255, 0)),
    )
    msg = conversions.MESSAGES.label_info(LabelSet("hall", classes), Time(sec=5))
    msg = sent(msg)
    assert (msg.label_set, msg.unlabeled, msg.instance_divisor) == ("hall", 0, 1000)
    assert (msg.header.stamp.sec, msg.header.frame_id) == (5, "")
    assert [(c.id, c.name, c.is_thing) for c in msg.classes] == [
        (2, "floor", False),
        (9, "cart", True),
    ]
    color = msg.classes[1].color
    assert (color.r, color.g, color.a) == (1, 0, 1)
    assert color.b == pytest.approx(0.2)


def test_an_encoding_that_nobody_knows_is_refused():
    msg = Image(width=1, height=1, encoding="rgb9", step=3, data=bytes(3))
    with pytest.raises(ImageRefused, match="'rgb9'"):
        conversions.image_to_rgb(msg)


def test_known_encodings_need_no_middleware_types():
    msg = SimpleNamespace(width=1, height=1, encoding="mono8", is_bigendian=0, step=1, data=b"\x07")
    np.testing.assert_array_equal(conversions.image_to_rgb(msg), [[[7, 7, 7]]])


def image_of(encoding, bytes_per_pixel, width=16, height=8):
    """Return an image of large blocks: interpolation and rounding differ at no pixel."""
    step = width * bytes_per_pixel
    row = np.repeat(np.uint8([[40], [200]]), height // 2, axis=0)
    data = array.array("B", np.tile(row, (1, step)).tobytes())
    return Image(width=width, height=height, encoding=encoding, step=step, data=data)


@pytest.mark.parametrize(
    ("encoding", "bytes_per_pixel"),
    [
        ("rgb8", 3),
        ("bgr8", 3),
        ("rgba8", 4),
        ("bgra8", 4),
        ("mono8", 1),
        ("mono16", 2),
        ("bayer_rggb8", 1),
        ("bayer_bggr8", 1),
        ("bayer_gbrg8", 1),
        ("bayer_grbg8", 1),
        ("yuv422", 2),
        ("yuv422_yuy2", 2),
    ],
)
def test_cv_bridge_gives_the_same(encoding, bytes_per_pixel):
    cv_bridge = pytest.importorskip("cv_bridge", exc_type=ImportError)
    msg = image_of(encoding, bytes_per_pixel)
    theirs = cv_bridge.CvBridge().imgmsg_to_cv2(msg, "rgb8")
    # cv_bridge rounds 16 bits to 8, this package keeps the upper byte.
    tolerance = 1 if encoding == "mono16" else 0
    np.testing.assert_allclose(decode_image(msg).astype(int), theirs, atol=tolerance)


def test_cv_bridge_reads_what_the_package_does_not():
    pytest.importorskip("cv_bridge", exc_type=ImportError)
    msg = image_of("rgb16", 6)
    np.testing.assert_allclose(conversions.image_to_rgb(msg)[[0, -1], 0, 0], [40, 200], atol=1)
