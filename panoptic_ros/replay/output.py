"""Write what the node would publish to a rosbag2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys.store import Typestore

from panoptic_ros.bags.layout import LATCHED, VERSION
from panoptic_ros.labels import LabelSet
from panoptic_ros.messages.panoptic import (
    IMAGE_KIND,
    INSTANCES_KIND,
    LABEL_INFO_KIND,
    MessageBuilder,
)
from panoptic_ros.pipeline import PanopticResult
from panoptic_ros.replay.source import BagMessage
from panoptic_ros.visualization import overlay

NODE = "/panoptic"
TOPICS = {
    "labels": IMAGE_KIND,
    "semantic": IMAGE_KIND,
    "confidence": IMAGE_KIND,
    "instances": INSTANCES_KIND,
    "color": IMAGE_KIND,
    "label_info": LABEL_INFO_KIND,
}
_LATCHED_TOPICS = (f"{NODE}/label_info", "/tf_static")


class PanopticBag:
    """Write the node's topics, and copies of recorded messages; closed, the bag is complete.

    Raise rosbags' WriterError where the folder is there already.
    """

    def __init__(self, path: Path, storage: str, types: Typestore, labels: LabelSet) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
        self._writer = Writer(path, version=VERSION, storage_plugin=plugin)
        if plugin is StoragePlugin.MCAP:
            # Inside the file, as every reader of MCAP knows it: the whole shrinks to a quarter.
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._types, self._labels = types, labels
        self._build = MessageBuilder(types.types.__getitem__, np.asarray)
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> PanopticBag:
        self._writer.open()
        for name, kind in TOPICS.items():
            self._connect(f"{NODE}/{name}", kind)
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add_label_info(self, time: int) -> None:
        """Write the meaning of the labels, once, before the first frame."""
        stamp = self._types.types["builtin_interfaces/msg/Time"](*divmod(time, 10**9))
        self._write("label_info", time, self._build.label_info(self._labels, stamp))

    def add(self, frame: BagMessage, image: np.ndarray, result: PanopticResult) -> None:
        """Write what the node publishes for a frame, with its stamp and log time."""
        build, header, time = self._build, frame.message.header, frame.time
        panoptic, semantic = result.panoptic, result.semantic
        self._write("labels", time, build.labels(panoptic, header))
        self._write("semantic", time, build.image(semantic.class_map(), "mono8", header))
        self._write("confidence", time, build.image(semantic.confidence_map(), "mono8", header))
        self._write("instances", time, build.instances(panoptic, self._labels, header))
        colors = overlay(image, panoptic, self._labels)
        self._write("color", time, build.image(colors, "rgb8", header))

    def copy(self, message: BagMessage) -> None:
        """Write a recorded message as it was."""
        connection = self._connect(message.topic, message.kind)
        self._writer.write(connection, message.time, message.data)

    def _write(self, name: str, time: int, message: Any) -> None:
        connection = self._connections[f"{NODE}/{name}"]
        data = self._types.serialize_cdr(message, connection.msgtype)
        self._writer.write(connection, time, data)

    def _connect(self, topic: str, kind: str) -> Any:
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic,
                kind,
                typestore=self._types,
                offered_qos_profiles=[LATCHED] if topic in _LATCHED_TOPICS else [],
            )
        return self._connections[topic]
