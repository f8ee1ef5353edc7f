"""Message types for reading a bag's messages and writing the package's own."""

from __future__ import annotations

from typing import Any

from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from panoptic_ros import resources
from panoptic_ros.bags.storage import Topic

PACKAGE = "panoptic_ros"
_PARSERS = {"ros2msg": get_types_from_msg, "ros2idl": get_types_from_idl}


def own_types() -> Typestore:
    """Return the common interfaces of ROS 2 and the messages of msg/.

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


def learn(store: Typestore, topics: list[Topic]) -> list[str]:
    """Add the types that a bag defines to a store; return a line for each topic of unknown type."""
    unknown = []
    for topic in topics:
        if topic.kind in store.types:
            continue
        parse = _PARSERS.get(topic.definition_format)
        try:
            if not (parse and topic.definition):
                raise ValueError("the bag does not carry its definition")
            found = parse(topic.definition, topic.kind)
            store.register({k: v for k, v in found.items() if k not in store.types})
        # The parser's errors have no class in common that is public.
        except Exception as error:
            reason = str(error).splitlines()[0]
            unknown.append(f"{topic.name}: type {topic.kind} is unknown, skipped ({reason})")
    return unknown
