import errno
import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from panoptic_ros.datasets import picture_files
from panoptic_ros.datasets.coco_files import BrokenFile, read_colors
from panoptic_ros.datasets.picture_files import (
    decoded,
    files_below,
    read_labels,
    read_picture,
    write_png,
)
from panoptic_ros.evaluation.report.pictures import section_picture


def png_that_claims(width, height, depth=16, color_type=0):
    """Return a PNG whose header claims a size and that has pixels for a row at most."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(64)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60000, 60000), (1 << 20, 1 << 20), (1 << 31, 1), (0, 0)])
@pytest.mark.parametrize(
    "read",
    [lambda f: read_labels(f, np.uint16), read_colors, read_picture, section_picture],
    ids=["labels", "colors", "picture", "section"],
)
def test_a_header_that_claims_too_much_is_a_broken_file_of_that_name(read, size, tmp_path):
    file = tmp_path / "huge.png"
    file.write_bytes(png_that_claims(*size))
    with pytest.raises((ValueError, BrokenFile), match=r"huge\.png"):
        read(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ""),
        (b"no picture", ""),
        (b"\x89PNG\r\n\x1a\n", ""),
        *(
            (cv2.imencode(suffix, np.zeros((4, 4, 3), np.uint8))[1].tobytes(), "write .* as PNG")
            for suffix in (".tiff", ".jpg", ".gif")
        ),
    ],
)
def test_what_is_no_picture_of_labels_is_a_broken_file_of_that_name(content, words, tmp_path):
    file = tmp_path / "broken.png"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"broken\.png.*{words}"):
        read_labels(file, np.uint16)
    with pytest.raises(BrokenFile, match=rf"broken\.png.*{words}"):
        read_colors(file)


@pytest.mark.parametrize(
    "image",
    [
        np.arange(6, dtype=np.uint16).reshape(2, 3) * 11000,
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.arange(18, dtype=np.uint8).reshape(2, 3, 3),
    ],
    ids=["uint16", "grey", "rgb"],
)
def test_what_is_written_is_read(image, tmp_path):
    file = tmp_path / "new" / "a.png"
    write_png(file, image)
    found = read_picture(file) if image.ndim == 3 else read_labels(file, image.dtype.type)
    assert np.array_equal(found, image)


def test_links_to_folders_are_followed_and_each_folder_is_read_once(tmp_path):
    disk, folder = tmp_path / "disk", tmp_path / "folder"
    for place in (disk, folder / "a"):
        place.mkdir(parents=True)
        (place / "1.png").touch()
    (folder / "b").symlink_to(disk)
    (folder / "0").symlink_to("a")
    (folder / "a" / "up").symlink_to(folder)
    assert files_below(folder, ".png") == [folder / "a" / "1.png", folder / "b" / "1.png"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    for name in ("a/1.PNG", "a/2.txt", ".3.png"):
        (tmp_path / name).touch()
    assert files_below(tmp_path, ".png") == [tmp_path / "a" / "1.PNG"]
    scandir = os.scandir

    def refused(folder):
        # Whoever runs this may be allowed all.
        if str(folder) == str(tmp_path / "a"):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError, match=f"denied: '{tmp_path / 'a'}'"):
        files_below(tmp_path, ".png")


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"a\.png"):
        write_png(tmp_path / "file" / "a.png", np.zeros((2, 2), np.uint8))


def test_a_full_disk_is_told_where_opencv_reports_success(tmp_path, monkeypatch):
    """/dev/full takes no byte: `cv2.imwrite` says that all went well."""
    (tmp_path / "a.png").symlink_to("/dev/full")
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((2, 2), np.uint8))
    (tmp_path / "b.png.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"b\.png"):
        write_png(tmp_path / "b.png", np.zeros((2, 2), np.uint8))


def png(image, **options):
    """Return a PNG of Pillow's."""
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


RGB = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 14, 3), np.uint8))
PNGS = {
    "rgb": (png(RGB), True),
    "uncompressed": (png(RGB, compress_level=0), True),
    "rgba": (png(RGB.convert("RGBA")), False),
    "a transparent color": (png(RGB, transparency=(1, 2, 3)), False),
    "palette": (png(RGB.quantize(8)), False),
    "grey": (png(RGB.convert("L")), False),
    "16 bits": (cv2.imencode(".png", np.array(RGB, np.uint16) * 257)[1].tobytes(), False),
}


@pytest.mark.parametrize(("content", "fast"), PNGS.values(), ids=PNGS)
def test_kornia_rs_decodes_what_opencv_decodes(content, fast, monkeypatch):
    kornia_rs = pytest.importorskip("kornia_rs")
    calls = []

    def decode(*args):
        calls.append(args)
        return kornia_rs.io.decode_image_png_u8(*args)

    monkeypatch.setattr(picture_files, "_png_decoder", lambda: decode)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    found = decoded(content)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(found, expected)
    assert len(calls) == fast


@pytest.mark.parametrize(
    "content",
    [PNGS["rgb"][0][:-30], PNGS["rgb"][0][:-12], PNGS["rgb"][0][:-20] + bytes(8) + b"IEND"],
    ids=["cut", "no end", "a checksum is wrong"],
)
def test_a_png_that_kornia_rs_refuses_is_named_as_without_it(content, monkeypatch, tmp_path):
    kornia_rs = pytest.importorskip("kornia_rs")
    (tmp_path / "a.png").write_bytes(content)
    told = []
    for decode in (None, kornia_rs.io.decode_image_png_u8):
        monkeypatch.setattr(picture_files, "_png_decoder", lambda decode=decode: decode)
        with pytest.raises(BrokenFile, match=r"a\.png") as error:
            read_colors(tmp_path / "a.png")
        told.append(str(error.value))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "pointer of Git LFS; .*git lfs pull"),
        (b"\n<html>", "web page; download"),
    ],
)
def test_what_came_in_place_of_a_picture_is_told(tmp_path, content, words):
    file = tmp_path / "a.png"
    file.write_bytes(content)
    for read in (read_picture, lambda path: read_labels(path, np.uint16)):
        with pytest.raises(ValueError, match=rf"^{file} is a {words}"):
            read(file)


@pytest.mark.parametrize(("cores", "there"), [(1, True), (2, True), (3, False)])
def test_kornia_rs_which_holds_pythons_lock_is_for_few_cores(cores, there, monkeypatch):
    pytest.importorskip("kornia_rs")
    monkeypatch.setattr(picture_files, "usable_cores", lambda: cores)
    assert (picture_files._png_decoder.__wrapped__() is not None) == there
