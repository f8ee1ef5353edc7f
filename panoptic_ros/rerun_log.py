"""Frames as a Rerun recording: camera, labels, tracks, the grid around the car, times, quality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.bird_eye import MOTION_COLOR
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import LabelSet, class_ids
from panoptic_ros.messages.grids import TrackMarker
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.whole_files import write_file

if TYPE_CHECKING:
    from rerun.blueprint import Blueprint

_WORLD, _VEHICLE = "world", "world/vehicle"
_CAMERA = "camera"
_PATH = "world/path"
_JPEG_QUALITY = 85
_ARROW_RADIUS, _PATH_RADIUS = 0.08, 0.1
_Vectors = Iterable[Sequence[float] | np.ndarray]


class RerunLog:
    """Write frames to one .rrd file, with a blueprint; use as a context manager.

    `start` begins a frame, the others add to it. The recording is in memory until it is closed.

    Timelines: `frame`, counting from 0, and `stamp`, the frames' own time. Entities:
    world (odom), world/path, world/tracks, world/velocities (of tracks), world/vehicle (base_link)
    with grid, grid_velocities and the cameras, which have image, labels, truth and instances;
    latency/STAGE, milliseconds; pq, percent.
    Raise OSError that names the file where it cannot be written.
    """

    def __init__(
        self, path: Path, name: str, labels: LabelSet, cameras: Sequence[str] = (_CAMERA,)
    ) -> None:
        """Begin a recording; name: shown in the viewer, of the model or the input."""
        import rerun

        self._rr = rerun
        self._path, self._labels = path, labels
        self._recording = rerun.RecordingStream("panoptic_ros", recording_id=name)
        self._frames = 0
        self._place: tuple[float, float, float] | None = None
        self._with_truth: set[str] = set()
        # What writes a file itself hangs for ever in its end where the disk is full.
        self._stream = rerun.binary_stream(self._recording)
        self._recording.send_blueprint(_blueprint(cameras))
        write_file(path, b"")
        self._log("/", rerun.AnnotationContext(self._descriptions()), static=True)
        self._log(_WORLD, rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)

    def __enter__(self) -> RerunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write the file; nothing may be added then.

        Raise OSError that names the file where it cannot be written.
        """
        write_file(self._path, self._stream.read() or b"")

    def start(self, time_ns: int | None = None) -> None:
        """Begin a frame; time_ns: its stamp, None where it has none."""
        self._recording.set_time("frame", sequence=self._frames)
        self._frames += 1
        if time_ns is None:
            self._recording.disable_timeline("stamp")
        else:
            self._recording.set_time("stamp", timestamp=np.datetime64(time_ns, "ns"))

    def add_picture(
        self,
        image: np.ndarray,
        panoptic: PanopticPrediction,
        track_ids: Mapping[int, int] = MappingProxyType({}),
        truth: np.ndarray | None = None,
        camera: str = _CAMERA,
    ) -> None:
        """Write a camera's picture and what was made of it.

        image: uint8 [H, W, 3], RGB; track_ids: by label value; truth: label image, [H, W].
        """
        of = f"{_VEHICLE}/{camera}"
        self._log(f"{of}/image", self._rr.Image(image).compress(jpeg_quality=_JPEG_QUALITY))
        self._log(f"{of}/labels", self._segmentation(panoptic.labels))
        if truth is not None:
            self._log(f"{of}/truth", self._segmentation(truth))
            self._with_truth.add(camera)
        elif camera in self._with_truth:
            # The viewer shows what was last.
            self._log(f"{of}/truth", self._rr.Clear(recursive=False))
            self._with_truth.discard(camera)
        things = [s for s in panoptic.segments if s.is_thing]
        self._log(
            f"{of}/instances",
            self._rr.Boxes2D(
                array=np.array([s.box for s in things], np.float32).reshape(-1, 4),
                array_format=self._rr.Box2DFormat.XYXY,
                labels=[self._name(s, track_ids.get(s.id)) for s in things],
                class_ids=[s.class_id for s in things],
            ),
        )

    def add_camera(self, view: GroundView, size: tuple[int, int], camera: str = _CAMERA) -> None:
        """Write a camera of pictures of a size (H, W), undistorted, where it is on the vehicle."""
        (height, width), pose = size, view.base_from_optical
        self._log(
            f"{_VEHICLE}/{camera}",
            self._rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]),
            self._rr.Pinhole(
                image_from_camera=view.camera.scaled(size).matrix,
                resolution=(width, height),
                camera_xyz=self._rr.ViewCoordinates.RDF,
            ),
        )

    def add_ground(
        self,
        pose: Pose2D | None,
        grid: np.ndarray | None,
        window: GridWindow,
        tracks: Sequence[TrackMarker],
        moving: tuple[_Vectors, _Vectors] | None = None,
    ) -> None:
        """Write what is around the vehicle.

        pose: of base_link in odom; grid: int8 [ny, nx], -1 unknown, 0..100, of the window in
        base_link; tracks: in odom; moving: in the grid, as `velocity_blocks` has it.
        """
        if grid is not None:
            self._log(f"{_VEHICLE}/grid", self._grid_map(grid, window))
        self._log(f"{_VEHICLE}/grid_velocities", self._arrows(*(moving or ((), ())), MOTION_COLOR))
        if pose is not None:
            self._add_pose(pose)
        self._add_tracks(tracks)

    def add_figures(self, milliseconds: Mapping[str, float], pq: float | None = None) -> None:
        """Write what each stage of the frame took, and its panoptic quality, 0..1."""
        for stage, taken in milliseconds.items():
            self._log(self._rr.new_entity_path(["latency", stage]), self._rr.Scalars(taken))
        if pq is not None:
            self._log("pq", self._rr.Scalars(100 * pq))

    def _log(self, entity: str, *content: Any, static: bool = False) -> None:
        self._recording.log(entity, *content, static=static)

    def _name(self, segment: Segment, track_id: int | None) -> str:
        number = "" if track_id is None else f" {track_id}"
        return f"{self._labels[segment.class_id].name}{number} {segment.score:.2f}"

    def _add_pose(self, pose: Pose2D) -> None:
        turn = self._rr.RotationAxisAngle((0, 0, 1), radians=pose.yaw)
        place = (pose.x, pose.y, 0.0)
        self._log(_VEHICLE, self._rr.Transform3D(translation=place, rotation=turn))
        # A piece a frame; the blueprint shows all of them up to now.
        piece = [self._place or place, place]
        self._log(_PATH, self._rr.LineStrips3D([piece], radii=_PATH_RADIUS))
        self._place = place

    def _add_tracks(self, tracks: Sequence[TrackMarker]) -> None:
        turns = [(0, 0, np.sin(t.yaw / 2), np.cos(t.yaw / 2)) for t in tracks]
        self._log(
            f"{_WORLD}/tracks",
            self._rr.Boxes3D(
                centers=[t.center for t in tracks],
                sizes=[t.size for t in tracks],
                quaternions=[self._rr.Quaternion(xyzw=turn) for turn in turns],
                colors=[(*t.color, t.alpha) for t in tracks],
                labels=[t.text for t in tracks],
            ),
        )
        moving = [(t, t.velocity) for t in tracks if t.velocity is not None]
        arrows = self._arrows(
            [t.center for t, _ in moving], [v for _, v in moving], [t.color for t, _ in moving]
        )
        self._log(f"{_WORLD}/velocities", arrows)

    def _arrows(self, places: _Vectors, velocities: _Vectors, colors: Any) -> Any:
        """Return arrows as long as the way of a second; places: x, y or x, y, z, metres."""
        return self._rr.Arrows3D(
            origins=[(*place, 0.0)[:3] for place in places],
            vectors=[(*velocity, 0.0) for velocity in velocities],
            colors=colors,
            radii=_ARROW_RADIUS,
        )

    def _descriptions(self) -> list[Any]:
        known = [self._rr.AnnotationInfo(c.id, c.name, c.color) for c in self._labels.classes]
        return [self._rr.AnnotationInfo(0, "unlabeled", (0, 0, 0, 0)), *known]

    def _segmentation(self, labels: np.ndarray) -> Any:
        return self._rr.SegmentationImage(class_ids(labels).astype(np.uint16), opacity=0.5)

    def _grid_map(self, cells: np.ndarray, window: GridWindow) -> Any:
        """Return an occupancy grid under the car: black is occupied, as in RViz."""
        # A picture's first row is the upper one, y the largest.
        pixels = np.ascontiguousarray(cells[::-1]).view(np.uint8)
        height, width = pixels.shape
        return self._rr.GridMap(
            data=pixels.tobytes(),
            format=self._rr.components.ImageFormat(
                width=width, height=height, color_model="L", channel_datatype="U8"
            ),
            cell_size=window.resolution,
            translation=(window.x_min, window.y_min, 0.0),
            colormap=self._rr.components.Colormap.RvizMap,
        )


def _blueprint(cameras: Iterable[str]) -> Blueprint:
    import rerun.blueprint as rrb

    until_now = rrb.VisibleTimeRanges(
        timeline="frame",
        start=rrb.TimeRangeBoundary.infinite(),
        end=rrb.TimeRangeBoundary.cursor_relative(seq=0),
    )
    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Vertical(
                rrb.Vertical(
                    *(
                        rrb.Spatial2DView(origin=f"{_VEHICLE}/{name}", name=name.capitalize())
                        for name in cameras
                    )
                ),
                rrb.TimeSeriesView(origin="latency", name="Latency, ms"),
                rrb.TimeSeriesView(origin="pq", name="Panoptic quality, %"),
                row_shares=[3, 1, 1],
            ),
            rrb.Spatial3DView(origin=_WORLD, name="Around the car", overrides={_PATH: until_now}),
        ),
        collapse_panels=True,
    )
