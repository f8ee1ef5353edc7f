"""The message types that this package reads from bags and writes to them."""

from __future__ import annotations

from functools import cache
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from panoptic_ros import resources

PACKAGE = "panoptic_ros"


@cache
def own_types() -> Typestore:
    """Return the common interfaces of ROS 2 and the messages of msg/, not to be changed.

    Raise FileNotFoundError where msg/ is not beside the package's other files.
    """
    store = get_typestore(Stores.ROS2_HUMBLE)
    folder = resources.share_dir() / "msg"
    files = sorted(folder.glob("*.msg"))
    if not files:
        raise FileNotFoundError(f"{folder} has no message definitions; install the package again")
    types: dict[str, Any] = {}
    for file in files:
        types.update(get_types_from_msg(file.read_text(), f"{PACKAGE}/msg/{file.stem}"))
    store.register(types)
    return store
