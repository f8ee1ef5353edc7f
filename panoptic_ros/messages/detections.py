"""Instances and tracks as messages of vision_msgs 4, of whichever library's message classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from panoptic_ros.labels import LabelSet
from panoptic_ros.messages.panoptic import Messages
from panoptic_ros.prediction import PanopticPrediction

DETECTIONS_KIND = "vision_msgs/msg/Detection2DArray"
DETECTIONS_3D_KIND = "vision_msgs/msg/Detection3DArray"
VISION_INFO_KIND = "vision_msgs/msg/LabelInfo"


@dataclass(frozen=True)
class Box3D:
    """Describe a detection that stands somewhere.

    center, size (along the box's x, y, z): metres; yaw: of the box, radians; covariance: of x
    and y, float [2, 2], square metres.
    """

    track_id: int
    class_id: int
    score: float
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw: float
    covariance: np.ndarray


class DetectionMessages(Messages):
    """Build messages of vision_msgs.

    A hypothesis has the class's label id in decimal digits, whose name is in LabelInfo; a
    detection has its track's id, or "" where it is not tracked.
    """

    def detections(
        self, panoptic: PanopticPrediction, header: Any, track_ids: Mapping[int, int]
    ) -> Any:
        """Return the things of a frame as Detection2DArray, by falling score.

        track_ids: by the segment's id. A box is tight around the visible pixels; pixel i of a
        row reaches from i to i + 1.
        """
        things = sorted((s for s in panoptic.segments if s.is_thing), key=lambda s: -s.score)
        return self._type(DETECTIONS_KIND)(
            header=header,
            detections=[
                self._of("Detection2D")(
                    header=header,
                    results=[
                        self._hypothesis(
                            s.class_id, s.score, self._pose((0.0, 0.0, 0.0)), np.zeros(36)
                        )
                    ],
                    bbox=self._box_2d(s.box),
                    id=str(track_ids.get(s.id, "")),
                )
                for s in things
            ],
        )

    def detections_3d(self, boxes: Sequence[Box3D], header: Any) -> Any:
        """Return boxes as Detection3DArray, in the header's frame."""
        return self._type(DETECTIONS_3D_KIND)(
            header=header, detections=[self._detection_3d(box, header) for box in boxes]
        )

    def label_info(self, labels: LabelSet, threshold: float, stamp: Any) -> Any:
        """Return the classes' names as LabelInfo, by rising id; threshold: least score, 0..1."""
        return self._type(VISION_INFO_KIND)(
            header=self._type("std_msgs/msg/Header")(stamp=stamp, frame_id=""),
            class_map=[
                self._of("VisionClass")(class_id=c.id, class_name=c.name)
                for c in sorted(labels.classes, key=lambda c: c.id)
            ],
            threshold=threshold,
        )

    def _of(self, name: str) -> Any:
        return self._type(f"vision_msgs/msg/{name}")

    def _box_2d(self, box: tuple[int, int, int, int]) -> Any:
        x0, y0, x1, y1 = box
        middle = self._of("Point2D")(x=(x0 + x1) / 2, y=(y0 + y1) / 2)
        return self._of("BoundingBox2D")(
            center=self._of("Pose2D")(position=middle, theta=0.0),
            size_x=float(x1 - x0),
            size_y=float(y1 - y0),
        )

    def _detection_3d(self, box: Box3D, header: Any) -> Any:
        pose = self._pose(box.center, box.yaw)
        covariance = np.zeros((6, 6))
        covariance[:2, :2] = box.covariance
        return self._of("Detection3D")(
            header=header,
            results=[self._hypothesis(box.class_id, box.score, pose, covariance.ravel())],
            bbox=self._of("BoundingBox3D")(center=pose, size=self._vector(box.size)),
            id=str(box.track_id),
        )

    def _hypothesis(self, class_id: int, score: float, pose: Any, covariance: np.ndarray) -> Any:
        return self._of("ObjectHypothesisWithPose")(
            hypothesis=self._of("ObjectHypothesis")(class_id=str(class_id), score=score),
            pose=self._type("geometry_msgs/msg/PoseWithCovariance")(
                pose=pose, covariance=covariance
            ),
        )
