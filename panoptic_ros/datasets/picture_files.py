"""Read the files of a data set; errors name the file."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from panoptic_ros.cores import usable_cores
from panoptic_ros.messages.compressed import decode_compressed
from panoptic_ros.messages.images import MAX_PIXELS, check_pixels
from panoptic_ros.whole_files import stranger, write_file

PICTURES = (".png", ".jpg", ".jpeg")
# Bit depth and colour type of 8-bit RGB, and where every PNG has them (its specification, IHDR).
_RGB8, _RGB8_AT = b"\x08\x02", slice(24, 26)
# kornia-rs decodes in a third of OpenCV's time, but holds Python's lock: threads on more cores are
# done sooner with OpenCV.
_MOST_CORES = 2


@dataclass
class _Picture:
    """Hold what `decode_compressed` asks of a message."""

    data: bytes
    format: str = ""


def read_picture(path: Path) -> np.ndarray:
    """Return a JPEG or PNG picture, uint8 [H, W, 3], RGB; an EXIF orientation is ignored.

    Raise FileNotFoundError where there is none, ValueError for a broken one: OpenCV alone
    fills what a truncated JPEG lacks and calls it a picture.
    """
    content = _content(path)
    try:
        return decode_compressed(_Picture(content))
    except ValueError as error:
        if words := stranger(content):
            raise ValueError(f"{path} {words}") from error
        raise ValueError(f"{path} is not an image that can be read ({error})") from error


@dataclass(frozen=True)
class PictureFrame:
    """Hold a frame's name, its picture and the file of its truth."""

    name: str
    image: Path
    instance_ids: Path

    @property
    def image_id(self) -> int | str:
        """Id of the frame in COCO-panoptic files; Cityscapes' own conversion gives the name."""
        return self.name

    def load_image(self) -> np.ndarray:
        """Return the image, uint8 [H, W, 3], RGB. Raise ValueError for a broken file."""
        return read_picture(self.image)


F = TypeVar("F", bound=PictureFrame)


class FrameList(Sequence[F]):
    """List the samples of a data set's split, which `_samples` holds.

    mapped_to_void: the names of categories that the classes asked for have no place for.
    """

    mapped_to_void: tuple[str, ...] = ()
    _samples: list[F]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: Any) -> Any:
        return self._samples[index]


def require_files(files: Iterable[Path], of: str, layout: str) -> None:
    """Raise FileNotFoundError for the first of some paths that is no file, with what it is of."""
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing for {of}; expected {layout}")


def read_labels(path: Path, dtype: type[np.generic]) -> np.ndarray:
    """Return a PNG of one number per pixel, [H, W] of dtype.

    Raise FileNotFoundError where there is none, ValueError for a broken one or another type.
    """
    content = _content(path)
    try:
        image = decoded(content)
    except ValueError as error:
        if words := stranger(content):
            raise ValueError(f"{path} {words}") from error
        raise ValueError(f"{path} is not an image that can be read: {error}") from error
    if image.dtype != dtype or image.ndim != 2:
        raise ValueError(
            f"{path} holds {image.dtype} of shape {image.shape}, expected {np.dtype(dtype)} [H, W]"
        )
    return image


def decoded(content: bytes, flags: int = cv2.IMREAD_UNCHANGED) -> np.ndarray:
    """Return a picture file's content as OpenCV decodes it; flags: cv2.IMREAD_*.

    Raise ValueError for a broken one, for one that claims more than MAX_PIXELS (a few hundred
    bytes can claim 60000 x 60000), and, unchanged, for anything but a PNG: of labels, JPEG and
    GIF make others, whatever the file's name.
    """
    try:
        # Reads the header alone.
        with Image.open(io.BytesIO(content)) as header:
            check_pixels("image", *header.size, MAX_PIXELS)
            kind, opaque = header.format, "transparency" not in header.info
        image = None
        if flags == cv2.IMREAD_UNCHANGED and kind != "PNG":
            raise ValueError(f"it is {kind} inside; write the labels as PNG")
        if opaque and content[_RGB8_AT] == _RGB8 and flags == cv2.IMREAD_UNCHANGED:
            image = _rgb_png(content, header.size)
        if image is None:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except UnidentifiedImageError:
        image = None
    except Exception as error:  # Pillow promises no class, OpenCV has one of its own.
        raise ValueError(f"cannot be decoded; {error}") from error
    if image is None:
        raise ValueError("cannot be decoded; it is truncated or no image")
    return image


def _rgb_png(content: bytes, size: tuple[int, int]) -> np.ndarray | None:
    """Return an 8-bit RGB PNG, (width, height) large, as OpenCV decodes it; None: OpenCV shall."""
    decode = _png_decoder()
    if decode is None:
        return None
    try:
        return decode(content, size[::-1], "rgb")[..., ::-1]
    except Exception:  # It has no class of its own. OpenCV then judges the file.
        return None


@cache
def _png_decoder() -> Callable[[bytes, tuple[int, int], str], np.ndarray] | None:
    """Return kornia-rs's decoder where it is installed, and pays."""
    if usable_cores() > _MOST_CORES:
        return None
    try:
        import kornia_rs
    except ImportError:
        return None
    return kornia_rs.io.decode_image_png_u8


def write_png(path: Path, image: np.ndarray, options: Sequence[int] = ()) -> None:
    """Write a picture, uint8 or uint16 [H, W] or [H, W, 3], RGB; raise as `write_file` does.

    options: cv2.IMWRITE_PNG_* and their values, in turn.
    `cv2.imwrite` reports success on a full disk.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, content = cv2.imencode(".png", bgr, options)
    if not done:
        raise OSError(f"{path}: OpenCV cannot encode {image.dtype} {list(image.shape)} as PNG")
    write_file(path, content.tobytes())


def files_below(folder: Path, *endings: str) -> list[Path]:
    """Return the files below a folder whose names end so in any case, hidden ones aside, by name.

    Links to folders are followed, each folder once. Raise OSError that names a folder that cannot
    be read: pathlib leaves it out in silence.
    """

    def refuse(error: OSError) -> None:
        raise error

    found, seen = [], set()
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        # A link may lead to a folder above it, or beside it.
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        # Under its own name rather than under a link's.
        folders.sort(key=lambda name: (Path(place, name).is_symlink(), name))
        found += [
            Path(place, name)
            for name in names
            if name.lower().endswith(endings) and not name.startswith(".")
        ]
    return sorted(found)


def unique_names(files: Sequence[Path]) -> list[str]:
    """Return a name for each of some files: its stem, with its folders where others share it.

    >>> unique_names([Path("a/1.png"), Path("/b/1.png"), Path("b/2.png")])
    ['a__1', 'b__1', '2']
    """
    stems = Counter(file.stem for file in files)
    # Without the / of an absolute path: a name becomes a path below the folder of the results.
    names = [
        file.stem
        if stems[file.stem] == 1
        else "__".join(file.relative_to(file.anchor).with_suffix("").parts)
        for file in files
    ]
    taken: Counter[str] = Counter()
    for i, name in enumerate(names):
        taken[name] += 1
        if taken[name] > 1:
            names[i] = f"{name}__{taken[name]}"
    return names


def refuse_twins(files: Iterable[Path]) -> None:
    """Raise ValueError for two pictures of one frame, which differ in their suffix alone."""
    known: dict[Path, Path] = {}
    for file in files:
        other = known.setdefault(file.with_suffix(""), file)
        if other is not file:
            raise ValueError(f"{other} and {file.name} are two pictures of one frame; remove one")


def first_file(candidates: Iterable[Path]) -> Path:
    """Return the first of some paths that is a file, or the first where none is."""
    known = list(candidates)
    return next((path for path in known if path.is_file()), known[0])


def _content(path: Path) -> bytes:
    if path.exists() and not (path.is_file() or path.is_dir()):
        # Reading a pipe would wait without end.
        raise ValueError(f"{path} is not a file")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing") from error
