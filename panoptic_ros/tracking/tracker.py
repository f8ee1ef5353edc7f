"""The tracker: associates instances in the image and follows them on the ground."""

from __future__ import annotations

import itertools
import logging
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from trackers import CMC, CMCConfig

from panoptic_ros.geometry.ground_plane import GroundPlane, GroundView, Viewpoint
from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.tracking.box_tracks import BoxTracks, TrackedBox
from panoptic_ros.tracking.camera_motion import box_motions
from panoptic_ros.tracking.ground_tracks import GroundTracks
from panoptic_ros.tracking.image_tracker import ImageTracker
from panoptic_ros.tracking.instance_points import InstancePoints
from panoptic_ros.tracking.track import Track
from panoptic_ros.tracking.tracking_options import TrackingOptions

# The library warns of each picture with too few corners, at night of each there is.
logging.getLogger("trackers").setLevel(logging.ERROR)
# The library wants time to go on between two pictures of one instant.
_SAME_INSTANT = 1e-6
# Optical flow on pictures of about this height takes milliseconds and is exact enough.
_FLOW_HEIGHT = 128
# Weight of a new measurement of an object's size against the old ones.
_SIZE_GAIN = 0.2


class InstanceTracker:
    """Track the instances of successive label images: ids, positions and velocities.

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
        plane: GroundPlane | None = None,
    ) -> None:
        """Start without tracks.

        ids: where new track ids come from (None: 1, 2, ...); plane: the ground in base_link
        (None: z = 0).
        """
        self._labels = labels
        self._plane = plane or GroundPlane()
        self._options = options or TrackingOptions()
        self._ids = itertools.count(1) if ids is None else ids
        self.reset()

    def reset(self) -> None:
        """Forget all tracks. Ids go on: none is given twice."""
        class_ids = [c.id for c in self._labels.things]
        self._image = ImageTracker(self._options, class_ids, self._ids)
        self._histories: dict[int, _History] = {}
        self._ground = GroundTracks(self._options)
        self._boxes = BoxTracks(self._options, self._labels)
        self._boxes_in_odom = True
        self._time = self._library_time = -math.inf
        self._last_view: tuple[Viewpoint, Pose2D] | None = None
        self._flow: CMC | None = None

    def update(
        self,
        prediction: PanopticPrediction,
        *,
        time: float,
        view: GroundView | None = None,
        placed: Iterable[GroundInstance] = (),
        points: Mapping[int, InstancePoints] = MappingProxyType({}),
        image: np.ndarray | None = None,
    ) -> list[Track]:
        """Take one frame; return the tracks of its instances and those that coast.

        time: seconds; where it goes back (a bag that loops) all tracks end.
        view: where it has a pose (of base_link in odom), boxes are moved as the camera has
        moved, and the instances that are placed on the ground are followed there. Else image
        (uint8 [H, W, 3], RGB, of the label image's size) gives the motion by optical flow.
        Without either the camera is taken to rest.
        points: of instances, by their value in the label image; give the tracks their boxes in
        space: in odom, or in base_link where the view has no pose.
        Raise ValueError for a time that is not finite, and for a view as `Viewpoint.of`.
        """
        self._start(time)
        segments = [s for s in prediction.segments if s.is_thing and s.id >= INSTANCE_DIVISOR]
        here = None
        if view is not None and view.pose is not None:
            height, width = prediction.labels.shape
            here = Viewpoint.of(view, (height, width), self._plane), view.pose
        self._follow_camera(here, image, segments)
        seen = self._associate(segments, time)
        for followed in (self._ground, self._boxes):
            followed.predict(time - self._time, self._image.track_ids)
        ground = {instance.id: instance for instance in placed}
        if here is not None:
            self._find_again(seen, ground, here[1])
        self._remember(seen, time)
        if here is not None:
            self._place({i: ground[s.id] for i, s in seen.items() if s.id in ground}, *here)
        if view is not None:
            shown = {i: (s.class_id, points[s.id]) for i, s in seen.items() if s.id in points}
            self._measure(shown, view, prediction.labels.shape)
        self._time, self._last_view = time, here
        return self._tracks(seen, time)

    def _start(self, time: float) -> None:
        if not math.isfinite(time):
            raise ValueError(f"time is {time}; it must be finite")
        if time < self._time:
            self.reset()
        if self._time == -math.inf:
            self._time = time

    def _follow_camera(
        self,
        here: tuple[Viewpoint, Pose2D] | None,
        image: np.ndarray | None,
        segments: list[Segment],
    ) -> None:
        """Move the tracks' boxes as the camera has moved since the last frame."""
        boxes = self._image.boxes()
        if here is not None or image is None:
            self._flow = None
        if here is None and image is not None:
            self._image.move(*self._flow_motions(boxes, image, segments))
        elif here is not None and self._last_view is not None:
            (before, old_pose), (now, pose) = self._last_view, here
            places = old_pose.inverse().apply(self._ground.positions(self._image.track_ids))
            moved = pose.inverse().compose(old_pose)
            self._image.move(*box_motions(boxes, places, before, now, moved))

    def _flow_motions(
        self, boxes: np.ndarray, image: np.ndarray, segments: list[Segment]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scale [N] and shift [N, 2] of boxes as the whole picture moves."""
        if self._flow is None:
            downscale = max(1, image.shape[0] // _FLOW_HEIGHT)
            self._flow = CMC(CMCConfig(method="sparseOptFlow", downscale=downscale))
        objects = np.array([s.box for s in segments], float).reshape(-1, 4)
        motion = self._flow.estimate(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), objects)
        scale = math.sqrt(abs(np.linalg.det(motion[:, :2])))
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        shifts = centers @ motion[:, :2].T + motion[:, 2] - scale * centers
        return np.full(len(boxes), scale), shifts

    def _associate(self, segments: list[Segment], time: float) -> dict[int, Segment]:
        """Return the segment of each track that is seen."""
        time = max(time, self._library_time + _SAME_INSTANT)
        self._library_time = time
        boxes = np.array([s.box for s in segments], float).reshape(-1, 4)
        scores = np.array([s.score for s in segments], float)
        ids = self._image.update(boxes, [s.class_id for s in segments], scores, time)
        return {i: s for i, s in zip(ids.tolist(), segments, strict=True) if i}

    def _find_again(
        self, seen: dict[int, Segment], ground: Mapping[int, GroundInstance], pose: Pose2D
    ) -> None:
        """Give new tracks back to the lost ones that must be where they are on the ground."""
        new: dict[int, dict[int, GroundInstance]] = defaultdict(dict)
        lost: dict[int, list[int]] = defaultdict(list)
        for track_id, segment in seen.items():
            if track_id not in self._histories and segment.id in ground:
                new[segment.class_id][track_id] = ground[segment.id]
        for track_id in self._image.track_ids:
            if track_id not in seen:
                lost[self._histories[track_id].segment.class_id].append(track_id)
        for class_id, sightings in new.items():
            for track_id, name in self._ground.find(lost[class_id], sightings, pose).items():
                self._image.rename(track_id, name)
                seen[name] = seen.pop(track_id)

    def _place(
        self, sightings: Mapping[int, GroundInstance], view: Viewpoint, pose: Pose2D
    ) -> None:
        """Take where the tracks that are seen stand, and measure them there."""
        self._ground.update(sightings, pose)
        places = np.array([s.position for s in sightings.values()]).reshape(-1, 2)
        bearings = view.polar(places)[1] + view.heading + pose.yaw
        sizes = view.on_ground(places)[:, 2] / view.camera.matrix[1, 1]
        for (track_id, sighting), bearing, size in zip(
            sightings.items(), bearings.tolist(), sizes.tolist(), strict=True
        ):
            bearing = math.remainder(bearing, math.tau)
            self._histories[track_id].measure(sighting, bearing, size)

    def _measure(
        self,
        shown: Mapping[int, tuple[int, InstancePoints]],
        view: GroundView,
        size: tuple[int, int],
    ) -> None:
        """Take the class ids and points of tracks for their boxes."""
        in_odom = view.pose is not None
        if in_odom != self._boxes_in_odom:
            self._boxes = BoxTracks(self._options, self._labels)
            self._boxes_in_odom = in_odom
        if shown:
            at = Viewpoint.of(view, size, self._plane)
            self._boxes.update(shown, at, view.pose or Pose2D())

    def _remember(self, seen: dict[int, Segment], time: float) -> None:
        alive = set(self._image.track_ids)
        self._histories = {i: h for i, h in self._histories.items() if i in alive}
        for track_id, segment in seen.items():
            history = self._histories.setdefault(track_id, _History(segment, time))
            history.see(segment)

    def _tracks(self, seen: Collection[int], time: float) -> list[Track]:
        """Return the tracks as of this frame, by id; what was seen once only does not coast."""
        boxes = dict(zip(self._image.track_ids, self._image.boxes().tolist(), strict=True))
        states, boxes_3d = self._ground.states(), self._boxes.boxes()
        return [
            _track(
                i, history, None if i in seen else boxes[i], states.get(i), boxes_3d.get(i), time
            )
            for i, history in sorted(self._histories.items())
            if i in seen or history.sightings > 1
        ]


@dataclass
class _History:
    """Hold a track's last sighting, the time of its first (s), and what it measured.

    bearing: of the line of sight in odom, radians; width, height: metres; elevation: of the
    ground, metres.
    """

    segment: Segment
    first_time: float
    sightings: int = 0
    bearing: float | None = None
    width: float | None = None
    height: float | None = None
    elevation: float | None = None

    def see(self, segment: Segment) -> None:
        """Take a sighting."""
        self.segment = segment
        self.sightings += 1

    def measure(self, sighting: GroundInstance, bearing: float, metres_per_pixel: float) -> None:
        """Take line of sight and size from where the last sighting stands on the ground."""
        _, y0, _, y1 = self.segment.box
        self.bearing = bearing
        self.elevation = sighting.elevation
        self.width = _smoothed(self.width, sighting.width)
        self.height = _smoothed(self.height, (y1 - y0) * metres_per_pixel)


def _smoothed(old: float | None, new: float) -> float:
    return new if old is None else old + _SIZE_GAIN * (new - old)


def _track(
    track_id: int,
    history: _History,
    expected_box: list[float] | None,
    state: tuple[list[float], np.ndarray] | None,
    box_3d: TrackedBox | None,
    time: float,
) -> Track:
    """Return a track; expected_box: None where it is seen."""
    segment = history.segment
    x0, y0, x1, y1 = segment.box if expected_box is None else expected_box
    (x, y, vx, vy), covariance = state or ([math.nan] * 4, None)
    return Track(
        track_id=track_id,
        instance_id=0 if expected_box else segment.id,
        class_id=segment.class_id,
        score=segment.score,
        box=(x0, y0, x1, y1),
        position=(x, y) if state else None,
        velocity=(vx, vy) if state else None,
        covariance=covariance,
        bearing=history.bearing,
        width=history.width,
        height=history.height,
        elevation=history.elevation,
        box_3d=box_3d,
        age=time - history.first_time,
        coasting=expected_box is not None,
    )
