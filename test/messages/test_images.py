from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panoptic_ros.messages import KNOWN_ENCODINGS, ImageRefused, decode_image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
WHITE, GREY, BLACK = (255, 255, 255), (128, 128, 128), (0, 0, 0)
# Blocks of 2 x 2 pixels, so that chroma at half resolution is exact: [4, 12, 3].
PICTURE = (
    np.uint8([[RED, GREEN, BLUE, WHITE, GREY, BLACK], [BLACK, BLUE, RED, GREY, GREEN, WHITE]])
    .repeat(2, axis=0)
    .repeat(2, axis=1)
)
# Of matrices, files and other libraries, and almost right.
OTHER_NAMES = ("32FC1", "8UC3", "16UC1", "RGB8", "rgb8 ", "mono12", "YUYV", "nv24", "jpeg")
GREYS = np.uint8([[0, 64, 128, 255], [255, 1, 200, 7]])
# Where each colour (0 R, 1 G, 2 B) of a 2 x 2 cell lies, read off the encoding's name.
BAYER_CELLS = {
    f"bayer_{name}8": np.array(["rgb".index(c) for c in name]).reshape(2, 2)
    for name in ("rggb", "bggr", "gbrg", "grbg")
}


def padded(rows, padding):
    """Append `padding` bytes of rubbish to each row, uint8 [rows, step]."""
    return np.pad(rows, ((0, 0), (0, padding)), constant_values=0xA5)


def message(encoding, size, rows, padding=0, **fields):
    rows = padded(rows, padding)
    fields = {"is_bigendian": 0, "step": rows.shape[1], "data": rows.tobytes()} | fields
    return SimpleNamespace(width=size[0], height=size[1], encoding=encoding, **fields)


def to_yuv(rgb):
    """BT.601, limited range (Rec. ITU-R BT.601-7, 2.5.1): float [..., 3]."""
    matrix = [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]
    return np.array([16, 128, 128]) + rgb / 255 @ np.array(matrix).T


def packed_422(picture, order):
    yuv = to_yuv(picture).round().astype(np.uint8)
    rows = np.empty((*picture.shape[:2], 2), np.uint8)
    chroma, luma = (0, 1) if order == "uyvy" else (1, 0)
    rows[..., luma] = yuv[..., 0]
    rows[:, 0::2, chroma] = yuv[:, 0::2, 1]
    rows[:, 1::2, chroma] = yuv[:, 0::2, 2]
    return rows.reshape(len(rows), -1)


def semi_planar(picture, first_chroma):
    yuv = to_yuv(picture).round().astype(np.uint8)
    order = [1, 2] if first_chroma == "u" else [2, 1]
    chroma = yuv[0::2, 0::2][..., order].reshape(len(yuv) // 2, -1)
    return np.concatenate([yuv[..., 0], chroma])


@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [("rgb8", [0, 1, 2]), ("bgr8", [2, 1, 0]), ("rgba8", [0, 1, 2, 3]), ("bgra8", [2, 1, 0, 3])],
)
def test_orders_of_red_green_and_blue(encoding, order, padding):
    rgba = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 9, np.uint8)])
    msg = message(encoding, (12, 4), rgba[..., order].reshape(4, -1), padding)
    np.testing.assert_array_equal(decode_image(msg), PICTURE)
    wide = encoding.replace("8", "16")
    for dtype in ("<u2", ">u2"):
        values = np.array(rgba[..., order] * 256.0 + 0x7F, dtype, order="C")
        rows = values.view(np.uint8).reshape(4, -1)
        msg = message(wide, (12, 4), rows, padding, is_bigendian=dtype == ">u2")
        np.testing.assert_array_equal(decode_image(msg), PICTURE)


def test_unpadded_rgb8_is_a_view():
    data = np.arange(24, dtype=np.uint8)
    image = decode_image(message("rgb8", (4, 2), data.reshape(2, 12), data=data))
    assert np.shares_memory(image, data)


@pytest.mark.parametrize("padding", [0, 3])
def test_mono8(padding):
    image = decode_image(message("mono8", (4, 2), GREYS, padding))
    np.testing.assert_array_equal(image, np.dstack([GREYS] * 3))


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(("dtype", "is_bigendian"), [("<u2", 0), (">u2", 1)])
def test_mono16_keeps_the_upper_byte(dtype, is_bigendian, padding):
    values = (GREYS.astype(dtype) << 8 | 0x7F).astype(dtype)
    rows = values.view(np.uint8).reshape(2, 8)
    image = decode_image(message("mono16", (4, 2), rows, padding, is_bigendian=is_bigendian))
    np.testing.assert_array_equal(image, np.dstack([GREYS] * 3))


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("size", [(8, 6), (3, 3), (5, 4)])
@pytest.mark.parametrize("encoding", BAYER_CELLS)
def test_bayer_of_one_colour_is_exact_up_to_the_border(encoding, size, padding):
    color = np.uint8([200, 100, 50])
    mosaic = color[np.tile(BAYER_CELLS[encoding], (3, 4))][: size[1], : size[0]]
    image = decode_image(message(encoding, size, mosaic, padding))
    np.testing.assert_array_equal(image, np.broadcast_to(color, (*size[::-1], 3)))


@pytest.mark.parametrize("encoding", BAYER_CELLS)
def test_bayer_keeps_colours_in_their_place(encoding):
    picture = np.empty((8, 16, 3), np.uint8)
    picture[:, :8], picture[:, 8:] = RED, BLUE
    cells = np.tile(BAYER_CELLS[encoding], (4, 8))
    mosaic = np.take_along_axis(picture, cells[..., None], axis=2)[..., 0]
    wide = message(encoding.replace("8", "16"), (16, 8), np.repeat(mosaic, 2, axis=1))
    image = decode_image(message(encoding, (16, 8), mosaic))
    np.testing.assert_array_equal(decode_image(wide), image)
    np.testing.assert_array_equal(image[:, :6], picture[:, :6])
    np.testing.assert_array_equal(image[:, 10:], picture[:, 10:])


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")],
)
def test_yuv422(encoding, order, padding):
    msg = message(encoding, (12, 4), packed_422(PICTURE, order), padding)
    # Rounding Y, U and V to whole numbers moves a colour by up to 2.
    np.testing.assert_allclose(decode_image(msg).astype(int), PICTURE, atol=2)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize(("encoding", "first_chroma"), [("nv12", "u"), ("nv21", "v")])
def test_semi_planar(encoding, first_chroma, padding):
    msg = message(encoding, (12, 4), semi_planar(PICTURE, first_chroma), padding)
    np.testing.assert_allclose(decode_image(msg).astype(int), PICTURE, atol=2)


def rclpy_image(**fields):
    return pytest.importorskip("sensor_msgs.msg").Image(**fields)


def rosbags_image(**fields):
    typesys = pytest.importorskip("rosbags.typesys")
    types = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE).types
    time = types["builtin_interfaces/msg/Time"](sec=0, nanosec=0)
    header = types["std_msgs/msg/Header"](stamp=time, frame_id="")
    fields["data"] = np.frombuffer(fields["data"], np.uint8)
    return types["sensor_msgs/msg/Image"](header=header, **fields)


@pytest.mark.parametrize("make", [rclpy_image, rosbags_image])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_messages_of_rclpy_and_of_rosbags(make, encoding):
    rows = (PICTURE if encoding == "rgb8" else PICTURE[..., ::-1]).reshape(4, -1)
    msg = make(**vars(message(encoding, (12, 4), rows, padding=4)))
    np.testing.assert_array_equal(decode_image(msg), PICTURE)


@pytest.mark.parametrize(
    ("encoding", "size", "step", "length", "reason"),
    [
        ("rgb8", (0, 4), 0, 0, "zero size 0x4"),
        ("rgb8", (4, 0), 12, 0, "zero size 4x0"),
        ("rgb8", (4, 2), 11, 22, "step 11 is less than a row of 12 bytes"),
        ("mono16", (4, 2), 7, 14, "step 7 is less than a row of 8 bytes"),
        ("rgb8", (4, 2), 12, 23, "data has 23 bytes, expected 24"),
        ("rgb8", (4, 2), 12, 25, "data has 25 bytes, expected 24"),
        ("bgr8", (4, 2), 12, 0, "data has 0 bytes, expected 24"),
        ("nv12", (4, 2), 4, 8, "data has 8 bytes, expected 12"),
        ("rgb9", (4, 2), 12, 24, "unknown encoding 'rgb9'; known: rgb8, bgr8"),
        ("", (4, 2), 12, 24, "unknown encoding ''"),
        ("8UC3", (4, 2), 12, 24, "unknown encoding '8UC3' (a type has no order of colours"),
        ("32FC1", (4, 2), 16, 32, "unknown encoding '32FC1' (a type has no order"),
        *((name, (4, 2), 16, 32, f"unknown encoding '{name}'") for name in OTHER_NAMES),
        ("rgba16", (4, 2), 32, 63, "data has 63 bytes, expected 64"),
        ("bayer_gbrg16", (2, 8), 4, 32, "bayer_gbrg16 needs at least 3x3 pixels, got 2x8"),
        ("yuv422", (3, 2), 6, 12, "yuv422 needs an even width, got 3"),
        ("nv12", (3, 2), 3, 9, "nv12 needs an even width, got 3"),
        ("nv21", (4, 3), 4, 18, "nv21 needs an even height, got 3"),
        ("bayer_rggb8", (2, 8), 2, 16, "bayer_rggb8 needs at least 3x3 pixels, got 2x8"),
    ],
)
def test_refuses_with_a_reason(encoding, size, step, length, reason):
    msg = message(encoding, size, np.zeros((1, 1), np.uint8), step=step, data=bytes(length))
    with pytest.raises(ImageRefused, match="^" + reason.replace("(", r"\(")):
        decode_image(msg)


@pytest.mark.parametrize(
    ("encoding", "step", "length"), [("rgb8", 12, 24), ("mono16", 8, 16), ("nv12", 4, 12)]
)
@pytest.mark.parametrize("wrong", [0, 4, 100, 2**32 - 1])
def test_a_step_that_is_wrong_beside_data_of_exactly_the_pixels(encoding, step, length, wrong):
    """Drivers leave it at 0, or give pixels, or the size of the whole picture."""
    right, other = (
        message(encoding, (4, 2), np.zeros((1, 1), np.uint8), step=s, data=bytes(range(length)))
        for s in (step, wrong)
    )
    np.testing.assert_array_equal(decode_image(other), decode_image(right))


@pytest.mark.parametrize("padding", [1, 6, 100])
def test_the_last_row_may_have_no_padding(padding):
    """As of a part of a larger picture, whose memory ends with its last pixel."""
    msg = message("rgb8", (12, 4), PICTURE.reshape(4, -1), padding)
    msg.data = msg.data[:-padding]
    np.testing.assert_array_equal(decode_image(msg), PICTURE)
    msg.data = msg.data[:-1]
    with pytest.raises(ImageRefused, match=f"data has {len(msg.data)} bytes, expected"):
        decode_image(msg)


def test_a_limit_of_pixels():
    msg = message("mono8", (4, 2), np.zeros((2, 4), np.uint8))
    assert decode_image(msg, max_pixels=8).shape == (2, 4, 3)
    with pytest.raises(ImageRefused, match="image of 4x2 pixels is beyond the limit of 7"):
        decode_image(msg, max_pixels=7)


@pytest.mark.parametrize("encoding", KNOWN_ENCODINGS)
@pytest.mark.parametrize("size", [(60000, 60000), (2**32 - 2, 2), (2, 2**32 - 2)])
@pytest.mark.parametrize("step", [0, 1, 2**32 - 1])
def test_impossible_sizes_are_refused_before_memory_is_taken(encoding, size, step):
    msg = message(encoding, size, np.zeros((1, 1), np.uint8), step=step, data=bytes(100))
    with pytest.raises(ImageRefused, match="beyond the limit of"):
        decode_image(msg)


def test_reasons_stay_short_whatever_the_name_of_the_encoding():
    msg = message("a\n\ud800" * 10**6, (4, 2), np.zeros((2, 4), np.uint8))
    with pytest.raises(ImageRefused) as refusal:
        decode_image(msg)
    assert len(str(refusal.value)) <= 400
    str(refusal.value).encode()


@st.composite
def any_message(draw):
    encoding = draw(st.sampled_from(KNOWN_ENCODINGS) | st.text(max_size=12))
    width, height = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    step = draw(st.integers(0, 48) | st.sampled_from([width, 2 * width, 3 * width, 4 * width]))
    right = step * height * 3 // 2 if encoding in ("nv12", "nv21") else step * height
    length = draw(st.just(right) | st.integers(0, 500))
    data = draw(st.randoms(use_true_random=False)).randbytes(length)
    return SimpleNamespace(
        encoding=encoding,
        width=width,
        height=height,
        step=step,
        is_bigendian=draw(st.integers(0, 1)),
        data=data,
    )


@settings(max_examples=400, deadline=None)
@given(any_message())
def test_any_message_gives_a_picture_or_a_refusal(msg):
    try:
        image = decode_image(msg)
    except ImageRefused:
        return
    assert image.dtype == np.uint8
    assert image.shape == (msg.height, msg.width, 3)
    assert image.flags.c_contiguous


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["rgb8", "bgr8", "rgba8", "bgra8"]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 40),
    st.integers(0, 2**32 - 1),
)
def test_what_was_packed_comes_out(encoding, size, padding, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    channels = picture if encoding.startswith("rgb") else picture[..., ::-1]
    if encoding.endswith("a8"):
        channels = np.dstack([channels, np.full(channels.shape[:2], 3, np.uint8)])
    msg = message(encoding, size, channels.reshape(size[1], -1), padding)
    np.testing.assert_array_equal(decode_image(msg), picture)
