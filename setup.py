"""Install the ROS-free core with pip; setup.cfg says what it is made of."""

from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
DATA = ("config", "msg", "sample", "weights")


def data_files() -> list[tuple[str, list[str]]]:
    """List the files of DATA for share/panoptic_ros, where resources.share_dir() looks."""
    folders: dict[str, list[str]] = {}
    for top in DATA:
        for path in sorted((ROOT / top).rglob("*")):
            if path.is_file():
                relative = path.relative_to(ROOT)
                target = f"share/panoptic_ros/{relative.parent.as_posix()}"
                folders.setdefault(target, []).append(relative.as_posix())
    return list(folders.items())


setup(data_files=data_files())
