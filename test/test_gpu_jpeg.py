import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic_ros.gpu_jpeg import jpeg_decoder
from panoptic_ros.messages import ImageRefused, decode_compressed


def test_a_host_has_none():
    assert jpeg_decoder(torch.device("cpu")) is None


def smooth(height, width, seed=0):
    """Return a picture of soft blobs."""
    blobs = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
    return np.asarray(Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC))


def encoded(picture, **options):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def message(data):
    return SimpleNamespace(format="jpeg", data=data)


@pytest.fixture(scope="module")
def decoder():
    found = jpeg_decoder(torch.device("cuda"))
    if found is None:
        pytest.skip("torchvision was built without nvJPEG")
    return found


# libjpeg smooths subsampled colours, nvJPEG repeats them: in small pictures of hard colours by 6.2.
@pytest.mark.gpu
@pytest.mark.parametrize(("size", "most"), [((96, 160), 8), ((45, 71), 8), ((1024, 2048), 2)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_picture_is_nearly_that_of_the_host(decoder, size, most, subsampling):
    data = encoded(smooth(*size), subsampling=subsampling)
    found, expected = decoder(data), decode_compressed(message(data))
    assert (found.shape, found.dtype) == (expected.shape, np.uint8)
    assert np.abs(found.astype(int) - expected).mean() < (most if subsampling else 1.5)


@pytest.mark.gpu
def test_pictures_outlive_those_that_follow(decoder):
    pictures = [smooth(64, 96, seed) for seed in range(20)]
    found = [decoder(encoded(picture)) for picture in pictures]
    for mine, picture in zip(found, pictures, strict=True):
        assert np.abs(mine.astype(int) - picture).mean() < 8


@pytest.mark.gpu
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"restart_marker_rows": 1}])
def test_a_frame_that_ends_before_its_pixels_is_refused(decoder, options, share):
    noise = np.random.default_rng(0).integers(0, 256, (93, 150, 3), np.uint8)
    data = encoded(noise, **options)
    scan = data.index(b"\xff\xda") + 14
    cut = data[: scan + int(share * (len(data) - scan))].rstrip(b"\xff") + b"\xff\xd9"
    with pytest.raises(ImageRefused, match="undecodable jpeg: corrupt data"):
        decode_compressed(message(cut), on_device=decoder)


@pytest.mark.gpu
def test_any_bytes_give_a_picture_or_a_refusal(decoder):
    rng, data = np.random.default_rng(0), encoded(smooth(64, 96))
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 6)):
            damaged[at] = rng.integers(256)
        try:
            found = decode_compressed(message(bytes(damaged)), on_device=decoder)
        except ImageRefused:
            refused += 1
        else:
            assert found.dtype == np.uint8
            assert found.ndim == 3
    assert 0 < refused < 300
    assert decoder(data).shape == (64, 96, 3)
