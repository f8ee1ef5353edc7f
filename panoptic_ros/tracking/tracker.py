"""The tracker: associates instances in the image and follows them on the ground."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping

import cv2
import numpy as np
from trackers import CMC, CMCConfig
from trackers.core.botsort.tracklet import BoTSORTTracklet

from panoptic_ros.grid.camera_model import CameraModel
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.grid.pose import Pose2D
from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.tracking.camera_motion import View, box_motions
from panoptic_ros.tracking.class_tracker import ClassTracker, move_boxes
from panoptic_ros.tracking.ground_tracks import GroundTracks
from panoptic_ros.tracking.history import TrackHistory
from panoptic_ros.tracking.options import TrackingOptions
from panoptic_ros.tracking.track import Track

# The library wants time to go on between two pictures of one instant.
_SAME_INSTANT = 1e-6
# Optical flow on pictures of about this height takes milliseconds and is exact enough.
_FLOW_HEIGHT = 256


class InstanceTracker:
    """Give the instances of successive label images lasting ids, positions and velocities.

    In the image, class by class, BoT-SORT associates boxes, which are moved as the camera has
    moved first. On the ground a Kalman filter in `odom` follows what is placed there, and finds
    objects again whose boxes were lost.

    >>> tracker = InstanceTracker(CITYSCAPES)
    >>> tracks = tracker.update(prediction, time=0.1)
    >>> {t.instance_id: t.track_id for t in tracks if not t.coasting}
    """

    def __init__(
        self,
        labels: LabelSet,
        options: TrackingOptions | None = None,
        ids: Iterator[int] | None = None,
    ) -> None:
        """Start without tracks; ids: where new track ids come from (None: 1, 2, ...)."""
        self._labels = labels
        self._options = options or TrackingOptions()
        self._ids = itertools.count(1) if ids is None else ids
        self.reset()

    def reset(self) -> None:
        """Forget all tracks. Ids go on: none is given twice."""
        self._classes = {c.id: ClassTracker(self._options, self._ids) for c in self._labels.things}
        self._histories: dict[int, TrackHistory] = {}
        self._ground = GroundTracks(self._options)
        self._time = self._library_time = -math.inf
        self._view: View | None = None
        self._flow: CMC | None = None

    def update(
        self,
        prediction: PanopticPrediction,
        *,
        time: float,
        ground: Mapping[int, GroundInstance] | None = None,
        pose: Pose2D | None = None,
        camera: CameraModel | None = None,
        base_from_optical: np.ndarray | None = None,
        image: np.ndarray | None = None,
    ) -> list[Track]:
        """Take one frame; return the tracks of its instances and those that coast.

        time: seconds; where it goes back (a bag that loops) all tracks end.
        ground: the instances that are placed on the ground, by their value in the label image;
        used where there is a pose (of base_link in odom).
        camera, base_from_optical (float [4, 4]): with them and the pose, boxes are moved as the
        camera has moved. Else image (uint8 [H, W, 3], RGB, of the label image's size) gives its
        motion by optical flow. Without either the camera is taken to rest.
        Raise ValueError for a time that is not finite.
        """
        self._start(time)
        segments = [s for s in prediction.segments if s.is_thing and s.id >= INSTANCE_DIVISOR]
        view = None
        if pose is not None and camera is not None and base_from_optical is not None:
            view = View(camera.scaled(prediction.labels.shape), base_from_optical, pose)
        self._follow_camera(view, image, segments)
        seen = self._associate(segments, time)
        self._ground.predict(time - self._time, self._tracklets())
        ground = ground or {}
        if pose is not None:
            self._find_again(seen, ground, pose)
        self._remember(seen, time)
        if pose is not None:
            placed = {i: ground[s.id] for i, s in seen.items() if s.id in ground}
            self._ground.update(placed, pose)
            for track_id, sighting in placed.items():
                self._histories[track_id].measure(sighting, pose, view)
        self._time, self._view = time, view
        return self._tracks(seen, time)

    def _start(self, time: float) -> None:
        if not math.isfinite(time):
            raise ValueError(f"time is {time}; it must be finite")
        if time < self._time:
            self.reset()
        if self._time == -math.inf:
            self._time = time

    def _tracklets(self) -> dict[int, BoTSORTTracklet]:
        """Return the library's live tracks by id."""
        return {t.tracker_id: t for c in self._classes.values() for t in c.tracklets}

    def _follow_camera(
        self, view: View | None, image: np.ndarray | None, segments: list[Segment]
    ) -> None:
        """Move the tracks' boxes as the camera has moved since the last frame."""
        tracklets = self._tracklets()
        if view is not None or image is None:
            self._flow = None
        if view is None and image is not None:
            self._follow_flow(image, segments, list(tracklets.values()))
        elif view is not None and self._view is not None and tracklets:
            boxes = np.array([t.get_state_bbox() for t in tracklets.values()])
            places = self._ground.positions(tracklets)
            move_boxes(list(tracklets.values()), *box_motions(boxes, places, self._view, view))

    def _follow_flow(
        self, image: np.ndarray, segments: list[Segment], tracklets: list[BoTSORTTracklet]
    ) -> None:
        if self._flow is None:
            downscale = max(1, image.shape[0] // _FLOW_HEIGHT)
            self._flow = CMC(CMCConfig(method="sparseOptFlow", downscale=downscale))
        boxes = np.array([s.box for s in segments], float).reshape(-1, 4)
        motion = self._flow.estimate(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), boxes)
        CMC.apply_batch(motion, tracklets)

    def _associate(self, segments: list[Segment], time: float) -> dict[int, Segment]:
        """Return the segment of each track that is seen, by BoT-SORT of each class."""
        time = max(time, self._library_time + _SAME_INSTANT)
        self._library_time = time
        seen = {}
        for class_id, tracker in self._classes.items():
            own = [s for s in segments if s.class_id == class_id]
            boxes = np.array([s.box for s in own], float).reshape(-1, 4)
            scores = np.array([s.score for s in own], float)
            ids = tracker.update(boxes, scores, time)
            seen.update((int(i), s) for i, s in zip(ids, own, strict=True) if i)
        return seen

    def _find_again(
        self, seen: dict[int, Segment], ground: Mapping[int, GroundInstance], pose: Pose2D
    ) -> None:
        """Give new tracks back to the lost ones that must be where they are on the ground."""
        for class_id, tracker in self._classes.items():
            lost = [t.tracker_id for t in tracker.tracklets if t.tracker_id not in seen]
            new = {
                i: ground[s.id]
                for i, s in seen.items()
                if s.class_id == class_id and i not in self._histories and s.id in ground
            }
            for track_id, name in self._ground.find(lost, new, pose).items():
                tracker.rename(track_id, name)
                seen[name] = seen.pop(track_id)

    def _remember(self, seen: dict[int, Segment], time: float) -> None:
        alive = self._tracklets()
        self._histories = {i: h for i, h in self._histories.items() if i in alive}
        for track_id, segment in seen.items():
            history = self._histories.setdefault(track_id, TrackHistory(segment, time))
            history.see(segment)

    def _tracks(self, seen: Collection[int], time: float) -> list[Track]:
        """Return the tracks as of this frame, by id; what was seen once only does not coast."""
        tracklets, states = self._tracklets(), self._ground.states()
        return [
            _track(i, history, None if i in seen else tracklets[i], states.get(i), time)
            for i, history in sorted(self._histories.items())
            if i in seen or history.sightings > 1
        ]


def _track(
    track_id: int,
    history: TrackHistory,
    coasting: BoTSORTTracklet | None,
    state: tuple[list[float], np.ndarray] | None,
    time: float,
) -> Track:
    segment = history.segment
    x, y, vx, vy = state[0] if state else [None] * 4
    return Track(
        track_id=track_id,
        instance_id=0 if coasting else segment.id,
        class_id=segment.class_id,
        score=segment.score,
        box=tuple(coasting.get_state_bbox().tolist()) if coasting else segment.box,
        position=(x, y) if state else None,
        velocity=(vx, vy) if state else None,
        covariance=state[1] if state else None,
        bearing=history.bearing,
        width=history.width,
        height=history.height,
        age=time - history.first_time,
        coasting=coasting is not None,
    )
