import contextlib
import io
import struct
import subprocess
import sys
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from panoptic_ros.messages import ImageRefused, decode_compressed

COLORS = np.uint8([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [128, 128, 128]])
# Blocks of 16 x 16, JPEG's own at half chroma resolution.
PICTURE = np.tile(COLORS.repeat(16, axis=0), (32, 1, 1))
GREY = PICTURE[..., 1].copy()


def assert_same_colours(image, picture):
    """Compare within blocks: libjpeg smooths chroma across their borders."""
    assert image.shape == picture.shape
    inside = slice(4, 12)
    blocks = (a.reshape(32, 5, 16, 3)[:, :, inside].astype(int) for a in (image, picture))
    np.testing.assert_allclose(*blocks, atol=3)


def encode(extension, pixels, *options):
    """Compress RGB (or grey, or RGBA) pixels as a file."""
    if pixels.ndim == 3:
        order = [2, 1, 0, 3][: pixels.shape[2]]
        pixels = np.ascontiguousarray(pixels[..., order])
    return cv2.imencode(extension, pixels, options)[1].tobytes()


def message(data, format_="jpeg"):
    return SimpleNamespace(format=format_, data=data)


JPEG, PNG = encode(".jpg", PICTURE), encode(".png", PICTURE)


class Device:
    """A device's decoder that gives what it is told to, and keeps what it was given."""

    def __init__(self, answer):
        self.answer, self.given = answer, []

    def __call__(self, data):
        self.given.append(data)
        return self.answer


# It does not end in grey, as a frame does that was cut.
MIRRORED = encode(".jpg", PICTURE[:, ::-1])
NOISE = np.random.default_rng(1).integers(0, 256, PICTURE.shape, np.uint8)


@pytest.mark.parametrize(
    "format_", ["jpeg", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8", ""]
)
@pytest.mark.parametrize("progressive", [0, 1])
def test_jpeg(format_, progressive):
    data = encode(".jpg", PICTURE, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    image = decode_compressed(message(data, format_))
    assert_same_colours(image, PICTURE)


@pytest.mark.parametrize("format_", ["png", "rgb8; png compressed bgr8", "bgr8; png compressed "])
def test_png(format_):
    np.testing.assert_array_equal(decode_compressed(message(PNG, format_)), PICTURE)


@pytest.mark.parametrize(
    "pixels",
    [
        np.dstack([PICTURE, np.full(PICTURE.shape[:2], 7, np.uint8)]),
        PICTURE.astype(np.uint16) << 8 | 0x7F,
    ],
    ids=["alpha", "16 bits"],
)
def test_png_with_more_than_24_bits(pixels):
    np.testing.assert_array_equal(decode_compressed(message(encode(".png", pixels))), PICTURE)


@pytest.mark.parametrize("pixels", [GREY, GREY.astype(np.uint16) << 8 | 0x7F])
def test_grey_png(pixels):
    image = decode_compressed(message(encode(".png", pixels), "mono16; png compressed "))
    np.testing.assert_array_equal(image, np.dstack([GREY] * 3))


def test_grey_jpeg():
    image = decode_compressed(message(encode(".jpg", GREY), "mono8; jpeg compressed "))
    assert_same_colours(image, np.dstack([GREY] * 3))


@pytest.mark.parametrize("encoding", ["bayer_grbg8", "bayer_grbg16"])
def test_grey_file_of_a_bayer_source_is_a_mosaic(encoding):
    r, g, b = color = (200, 100, 50)
    mosaic = np.tile(np.uint8([[g, r], [b, g]]), (4, 4))
    if encoding.endswith("16"):
        mosaic = mosaic.astype(np.uint16) << 8
    image = decode_compressed(message(encode(".png", mosaic), f"{encoding}; png compressed "))
    np.testing.assert_array_equal(image, np.broadcast_to(np.uint8(color), (8, 8, 3)))


def test_colour_file_of_a_bayer_source_is_a_picture():
    image = decode_compressed(message(PNG, "bayer_rggb8; png compressed bgr8"))
    np.testing.assert_array_equal(image, PICTURE)


def test_unknown_bayer_pattern():
    with pytest.raises(ImageRefused, match="unknown Bayer pattern 'bayer_xxxx8'"):
        decode_compressed(message(encode(".png", GREY), "bayer_xxxx8; png compressed "))


def test_orientation_is_ignored():
    turned = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x112, 3, 1, 6, 0, 0)
    segment = b"Exif\0\0" + turned
    app1 = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    image = decode_compressed(message(JPEG[:2] + app1 + JPEG[2:]))
    assert_same_colours(image, PICTURE)


@pytest.mark.parametrize("module", ["sensor_msgs", "rosbags"])
def test_messages_of_rclpy_and_of_rosbags(module):
    if module == "sensor_msgs":
        msg = pytest.importorskip("sensor_msgs.msg").CompressedImage(format="png", data=PNG)
    else:
        typesys = pytest.importorskip("rosbags.typesys")
        types = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE).types
        time = types["builtin_interfaces/msg/Time"](sec=0, nanosec=0)
        header = types["std_msgs/msg/Header"](stamp=time, frame_id="")
        data = np.frombuffer(PNG, np.uint8)
        msg = types["sensor_msgs/msg/CompressedImage"](header=header, format="png", data=data)
    np.testing.assert_array_equal(decode_compressed(msg), PICTURE)


@pytest.mark.parametrize("data", [JPEG, PNG], ids=["jpeg", "png"])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.99])
def test_truncated_file_is_refused(data, share):
    with pytest.raises(ImageRefused, match=r"truncated|neither JPEG nor PNG"):
        decode_compressed(message(data[: int(share * len(data))]))


@pytest.mark.parametrize("lost", [1, 2, 20])
def test_end_marker_of_a_thumbnail_is_not_the_pictures(lost):
    thumbnail = encode(".jpg", PICTURE[:16, :16])
    app1 = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = JPEG[:2] + app1 + JPEG[2:]
    assert decode_compressed(message(data)).shape == PICTURE.shape
    with pytest.raises(ImageRefused, match="truncated jpeg: no end marker in"):
        decode_compressed(message(data[:-lost]))


@pytest.mark.parametrize("on_device", [None, lambda data: NOISE[:45, :70]], ids=["host", "device"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("RGB", {"subsampling": 0}),
        ("RGB", {"optimize": True}),
        ("RGB", {"restart_marker_rows": 1}),
        ("RGB", {"progressive": True}),
        ("L", {}),
        ("CMYK", {}),
    ],
)
@pytest.mark.parametrize("end", [b"\xff\xd9", b"\xff\xd9" + bytes(9), b"\xff\xd9" + JPEG])
def test_a_frame_that_ends_before_its_pixels_is_refused(mode, options, share, end, on_device):
    """USB cameras cut them so, with an end marker behind what came, or with the next frame."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (45, 70, 3), np.uint8)
    Picture.fromarray(noise).convert(mode).save(file, "JPEG", **options)
    data = file.getvalue()
    assert decode_compressed(message(data[:-2] + end)).shape == (45, 70, 3)
    scan = data.index(b"\xff\xda") + 14
    cut = data[: scan + int(share * (len(data) - scan))].rstrip(b"\xff")
    with pytest.raises(ImageRefused, match="undecodable jpeg: corrupt data"):
        decode_compressed(message(cut + end), on_device=on_device)


def test_a_plain_jpeg_is_what_the_device_gives():
    device = Device(NOISE)
    assert decode_compressed(message(MIRRORED + bytes(99)), on_device=device) is NOISE
    assert device.given == [MIRRORED]


@pytest.mark.parametrize("answer", [None, NOISE[:-1]], ids=["none", "other size"])
def test_the_host_decodes_what_the_device_leaves(answer):
    device = Device(answer)
    found = decode_compressed(message(MIRRORED), on_device=device)
    np.testing.assert_array_equal(found, decode_compressed(message(MIRRORED)))
    assert device.given == [MIRRORED]


@pytest.mark.parametrize(
    "data",
    [
        PNG,
        encode(".jpg", GREY),
        encode(".jpg", PICTURE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        encode(".jpg", np.full_like(PICTURE, 128)),
    ],
    ids=["png", "grey", "progressive", "ends as a cut one"],
)
def test_other_files_are_the_hosts(data):
    device = Device(NOISE)
    found = decode_compressed(message(data), on_device=device)
    np.testing.assert_array_equal(found, decode_compressed(message(data)))
    assert device.given == []


def test_what_the_header_refuses_never_comes_to_the_device():
    device = Device(NOISE)
    for data, max_pixels in ((MIRRORED[:-2], 1 << 20), (MIRRORED, 100)):
        with pytest.raises(ImageRefused):
            decode_compressed(message(data), max_pixels, device)
    assert device.given == []


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("picture", [np.full_like(PICTURE, 128), np.full_like(GREY, 128)])
def test_a_grey_picture_lacks_nothing(picture, progressive):
    """It looks like what a decoder leaves of a frame that was cut."""
    data = encode(".jpg", picture, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    assert (decode_compressed(message(data)) == 128).all()


def test_bytes_after_the_end_do_no_harm():
    """Cameras with buffers of a fixed size send them whole."""
    for data in (JPEG, PNG):
        assert decode_compressed(message(data + bytes(100))).shape == PICTURE.shape


def test_corrupt_png_is_refused():
    data = bytearray(PNG)
    data[60] ^= 0xFF
    with pytest.raises(ImageRefused, match="undecodable png: corrupt data"):
        decode_compressed(message(bytes(data)))


@pytest.mark.parametrize("data", [JPEG, PNG], ids=["jpeg", "png"])
def test_broken_files_leave_stderr_alone(data, capfd):
    """libpng and libjpeg would write a line for each, past every throttle."""
    random = np.random.default_rng(0)
    for _ in range(100):
        broken = bytearray(data)
        broken[random.integers(40, len(data) - 2)] ^= int(random.integers(1, 256))
        with contextlib.suppress(ImageRefused):
            decode_compressed(message(bytes(broken)))
    assert capfd.readouterr() == ("", "")


def test_damaged_metadata_leaves_stderr_alone():
    """In a process of its own: pytest would show the warnings to nobody."""
    exif = b"Exif\0\0II*\0" + b"\xff" * 40
    app1 = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    chunk = b"iCCPsRGB\0\0" + zlib.compress(b"no profile")
    iccp = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    files = [JPEG[:2] + app1 + JPEG[2:], PNG[:33] + iccp + PNG[33:]]
    program = f"""
from types import SimpleNamespace
from panoptic_ros.messages import decode_compressed
for data in {files}:
    assert decode_compressed(SimpleNamespace(format="", data=data)).shape == {PICTURE.shape}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stderr == b""


def png_of_rows(rows, color_type, depth, interlaced):
    """Return a PNG, one pixel wide, of seven rows, of which `rows` has those that are there."""
    # Where there is one column, Adam7's passes are the rows in another order.
    order = [0, 4, 2, 6, 1, 3, 5] if interlaced else range(7)
    pixels = zlib.compress(b"".join(b"\0" + rows[i] for i in order if i < len(rows)))
    head = struct.pack(">IIBBBBB", 1, 7, depth, color_type, 0, 0, interlaced)
    chunks = [(b"IHDR", head), (b"PLTE", bytes(range(6))), (b"IDAT", pixels), (b"IEND", b"")]
    if color_type != 3:
        del chunks[1]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


@pytest.mark.parametrize("last", [False, True], ids=["last row black", "last row not"])
@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(
    ("color_type", "depth", "pixel", "seen", "black"),
    [
        (0, 8, b"\x07", [7] * 3, [0] * 3),
        (0, 1, b"\x80", [255] * 3, [0] * 3),
        (0, 16, b"\x09\x01", [9] * 3, [0] * 3),
        (2, 8, b"\x01\x02\x03", [1, 2, 3], [0] * 3),
        (2, 16, b"\x01\xff\x02\xff\x03\xff", [1, 2, 3], [0] * 3),
        (3, 8, b"\x01", [3, 4, 5], [0, 1, 2]),
        (4, 8, b"\x07\x00", [7] * 3, [0] * 3),
        (6, 8, b"\x01\x02\x03\x00", [1, 2, 3], [0] * 3),
    ],
)
def test_png_of_each_kind_with_and_without_its_last_row(
    color_type, depth, pixel, seen, black, interlaced, last
):
    rows = [pixel] * 6 + [pixel if last else bytes(len(pixel))]
    whole = png_of_rows(rows, color_type, depth, interlaced)
    wanted = np.uint8([seen] * 6 + [seen if last else black])[:, None]
    np.testing.assert_array_equal(decode_compressed(message(whole)), wanted)
    with pytest.raises(ImageRefused, match="bytes of its pixels are missing"):
        decode_compressed(message(png_of_rows(rows[:5], color_type, depth, interlaced)))


def test_jpeg_is_read_as_opencv_reads_it():
    noise = np.random.default_rng(0).integers(0, 256, (45, 70, 3), np.uint8)
    for picture in (PICTURE, noise, noise[..., 0]):
        data = encode(".jpg", picture)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        # Another build of the same library may round otherwise.
        assert np.abs(decode_compressed(message(data)).astype(int) - pixels).max() <= 1


def png_of_size(width, height):
    ihdr = b"IHDR" + struct.pack(">II", width, height) + PNG[24:29]
    return PNG[:12] + ihdr + struct.pack(">I", zlib.crc32(ihdr)) + PNG[33:]


def jpeg_of_size(width, height):
    start = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:start] + struct.pack(">HH", height, width) + JPEG[start + 4 :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither JPEG nor PNG: format 'h264', 0 bytes that begin with nothing"),
        (b"\0\0\0\1gB", "neither JPEG nor PNG: format 'h264', 6 bytes that begin with 00000001"),
        (b"RIFF\x80\1\0\0WEBPVP8 ", "52494646; let the camera, or a republisher, send one of"),
        (b"\xff\xd8\xff", "truncated file: its header does not end in 3 bytes"),
        (PNG[:20], "truncated file: its header does not end in 20 bytes"),
        (b"\xff\xd8\xff\xda\0\0", "undecodable jpeg: no frame header"),
        (png_of_size(60000, 60000), "png of 60000x60000 pixels is beyond the limit"),
        (jpeg_of_size(60000, 60000), "jpeg of 60000x60000 pixels is beyond the limit"),
        (png_of_size(0, 8), "zero size 0x8 in the png"),
        (jpeg_of_size(8, 0), "zero size 8x0 in the jpeg"),
        (
            png_of_size(80, 33),
            "undecodable png: corrupt data .*: 241 bytes of its pixels are missing",
        ),
        (png_of_size(8192, 8192), "png of 8192x8192 pixels is beyond the limit"),
        (png_of_size(4096, 4096), "bytes cannot hold the 4096x4096 pixels that it claims"),
        (jpeg_of_size(4096, 4096), "bytes cannot hold the 4096x4096 pixels that it claims"),
        (jpeg_of_size(4096, 4096)[:689] + b"\xff\xd9", "691 bytes cannot hold the 4096x4096"),
    ],
)
def test_refuses_with_a_reason(data, reason):
    with pytest.raises(ImageRefused, match=reason):
        decode_compressed(message(data, "h264"))


def test_a_limit_of_pixels():
    for data in (JPEG, PNG):
        assert decode_compressed(message(data), max_pixels=80 * 32).shape == PICTURE.shape
        with pytest.raises(ImageRefused, match="of 80x32 pixels is beyond the limit of 2559"):
            decode_compressed(message(data), max_pixels=80 * 32 - 1)


@pytest.mark.parametrize("shape", [(512, 512), (512, 512, 3), (2048, 64, 3)])
@pytest.mark.parametrize("extension", [".png", ".jpg"])
@pytest.mark.parametrize("value", [0, 255])
def test_the_smallest_files_of_their_size_are_read(shape, extension, value):
    """A limit of bytes per pixel must not touch what is valid, as a camera with its cap on."""
    options = {
        ".png": (cv2.IMWRITE_PNG_COMPRESSION, 9),
        ".jpg": (cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    }
    data = encode(extension, np.full(shape, value, np.uint8), *options[extension])
    assert (decode_compressed(message(data)) == value).all()


@st.composite
def damaged_file(draw):
    data = bytearray(draw(st.sampled_from([JPEG, PNG])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data[: draw(st.just(len(data)) | st.integers(0, len(data)))])


@settings(max_examples=300, deadline=None)
@given(damaged_file() | st.binary(max_size=80), st.sampled_from(["png", "bayer_rggb8; jpeg"]))
@example(b"\xff\xd8" + b"\xff" * 20, "jpeg")
def test_any_bytes_give_a_picture_or_a_refusal(data, format_):
    try:
        image = decode_compressed(message(data, format_))
    except ImageRefused:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
