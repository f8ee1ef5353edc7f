"""What the bags that this package writes have in common."""

from __future__ import annotations

from typing import Literal

from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)

# The newest layout of metadata.yaml that ROS 2 Humble reads, too.
VERSION: Literal[8] = 8
_UNSET = QosTime(0, 0)
# Players offer it to late subscribers, as tf2 expects of /tf_static.
LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    _UNSET,
    _UNSET,
    QosLiveliness.AUTOMATIC,
    _UNSET,
    False,
)
