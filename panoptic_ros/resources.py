"""The package's own files: config/, sample/ and weights/; and paths as people write them."""

from __future__ import annotations

from pathlib import Path

_MARK = Path("config") / "models"


def share_dir() -> Path:
    """Return the folder that holds config/, sample/ and weights/.

    It is the source tree where the modules run from there (also through the links of
    ``colcon build --symlink-install`` and an editable pip install), and
    ``PREFIX/share/panoptic_ros`` in an ament or pip installation.
    Raise FileNotFoundError that lists the places that were searched.
    """
    # Every scheme (PREFIX/lib/pythonX.Y/site-packages, Debian's PREFIX/local/lib/..., pip's --user
    # and --target) puts share/ beside some parent of the modules.
    parents = Path(__file__).resolve().parent.parents
    places = [parents[0], *(parent / "share" / "panoptic_ros" for parent in parents)]
    for place in places:
        if (place / _MARK).is_dir():
            return place
    searched = "\n  ".join(str(place) for place in places)
    raise FileNotFoundError(
        f"panoptic_ros's data files ({_MARK}) are in none of these folders:\n  {searched}\n"
        "Install the package again (`make setup`, `colcon build` or `pip install .`)."
    )


def expanded(path: str | Path) -> Path:
    """Return a path, its ~ written out; raise ValueError for what can be none."""
    if "\0" in str(path):
        raise ValueError(f"{str(path)!r} is no path")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path} is of a user that is not there") from error
