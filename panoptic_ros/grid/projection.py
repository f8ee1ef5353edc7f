"""From a label image to the ground: free, occupied and unknown cells.

After Erkent et al., "Semantic grid estimation with a hybrid Bayesian and deep neural network
approach", IROS 2018, with the ground plane in place of a learned projection.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import Viewpoint
from panoptic_ros.grid.contacts import ContactEdges, Contacts, trace_faces
from panoptic_ros.grid.grid_options import ProjectionOptions
from panoptic_ros.grid.instances import place_instances, place_riders
from panoptic_ros.grid.label_kinds import LabelKinds, carriers_of
from panoptic_ros.grid.lookup import CellLookup, PixelFinder, SightLines, needed_pixels
from panoptic_ros.grid.measured import MeasuredObstacles
from panoptic_ros.grid.observation import FREE, OCCUPIED, UNKNOWN, GroundObservation, Sight
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import LabelSet
from panoptic_ros.prediction import PanopticPrediction


class GroundProjection:
    """Project label images of one calibrated camera onto the cells of a window.

    A cell is free where its pixels show ground and no obstacle stands before it. An obstacle
    occupies the cell where its mask meets the ground, on every line of sight; what lies
    behind is unknown. So are cells out of the picture, under the bonnet, between pixels that
    disagree, and where one pixel covers more ground than `max_footprint`.
    """

    def __init__(
        self,
        view: Viewpoint,
        window: GridWindow,
        labels: LabelSet,
        options: ProjectionOptions,
    ) -> None:
        """Precompute the pixels of every cell.

        view: the camera, of the label images' size, above the plane of the options. Raise
        ValueError for a view or options that show no ground.
        """
        self._view = view
        self._window = window
        self._options = options
        self._kinds = kinds = LabelKinds(labels, options, view.height)
        finder = PixelFinder(view, _hidden(view.camera, options))
        lookup = CellLookup.build(finder, window, kinds.heights, options.max_footprint)
        lines = SightLines.build(finder, window, lookup.bearing)
        self._pixels, near, far, index = needed_pixels(
            view.camera.size, lookup.near, lookup.far, lines.index
        )
        # From here on, indices of the pixels that are read.
        self._lookup = lookup = replace(lookup, near=near, far=far)
        self._lines = lines = replace(lines, index=index)
        self._line_of_cell = lines.line_of(lookup.bearing)
        self._kind_of_height = np.arange(1, len(kinds.heights) + 1, dtype=np.uint8)[:, None]
        self._weight = np.zeros(window.shape[0] * window.shape[1], np.float32)
        self._weight[lookup.cells] = lookup.weight
        self._sight = np.full(self._weight.shape, Sight.OUT_OF_VIEW, np.uint8)
        self._sight[lookup.coarse] = Sight.TOO_COARSE
        self._sight[lookup.cells] = Sight.NEVER_SEEN
        self._edges = ContactEdges(lines, view, labels, kinds.heights)
        self._carriers = carriers_of(labels)
        band = (options.min_height, options.clearance)
        self._measured = MeasuredObstacles(finder, lines, kinds, band)

    def __call__(
        self,
        prediction: PanopticPrediction,
        *,
        depth: np.ndarray | None = None,
        points: np.ndarray | None = None,
    ) -> GroundObservation:
        """Return what a prediction shows of the window.

        depth: float32 [H, W], metres along the optical axis, 0 where there is none; points:
        float [N, 3] in base_link, metres. Either places obstacles instead of their masks'
        contact edges; of both, the nearer one. Raise ValueError for sizes that do not fit.
        """
        labels = prediction.labels
        if labels.shape != self._view.camera.size:
            raise ValueError(
                f"label image is {labels.shape} (H, W), the camera's picture "
                f"{self._view.camera.size}; use CameraModel.scaled"
            )
        values = labels.ravel().take(self._pixels)
        kinds = self._kinds.kinds.take(values, mode="clip")
        contacts = self._edges(values, kinds)
        measured = []
        if depth is not None:
            measured.append(self._measured.from_depth(labels, depth))
        if points is not None:
            measured.append(self._measured.from_points(labels, points))
        if is_measured := bool(measured):
            contacts = _placed(contacts, *_nearest(measured))
        state, classes, sight = self._free(values, kinds, contacts)
        weight = self._weight * (state == FREE)
        ids = self._occupy(contacts, is_measured, state, classes, weight)
        sigma = self._range_sigma(contacts, is_measured)
        bearing_sigma = self._options.pixel_sigma / self._view.camera.matrix[0, 0]
        instances = place_instances(contacts, self._lines, self._view, sigma, bearing_sigma)
        instances += place_riders(prediction.segments, instances, self._view, self._carriers)
        shape = self._window.shape
        return GroundObservation(
            state.reshape(shape),
            classes.reshape(shape),
            weight.reshape(shape),
            instances,
            ids.reshape(shape),
            sight.reshape(shape),
        )

    def _free(
        self, values: np.ndarray, kinds: np.ndarray, contacts: Contacts
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return state and classes, flat, with the free cells only, and how all are seen.

        values, kinds: of the pixels that are read, [P].
        """
        lookup = self._lookup
        start, end = contacts.blocked.astype(np.float32).take(self._line_of_cell, axis=1)
        free = (lookup.distance < start) | (lookup.distance >= end)
        sight = self._sight.copy()
        sight[lookup.cells] = np.where(free, np.uint8(Sight.NEVER_SEEN), np.uint8(Sight.HIDDEN))
        near, far = self._is_ground(kinds, lookup.near), self._is_ground(kinds, lookup.far)
        free &= near.any(axis=0) & far.any(axis=0)
        found = np.flatnonzero(free)
        state = np.full(self._weight.shape, UNKNOWN, np.int8)
        classes = np.zeros(self._weight.shape, np.uint8)
        cells = lookup.cells.take(found)
        state[cells] = FREE
        value = values.take(_lowest(lookup.near, near, found))
        classes[cells] = self._kinds.classes.take(value, mode="clip")
        return state, classes, sight

    def _is_ground(self, kinds: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return whether pixels [K, M] show ground at the k-th height, bool [K, M].

        A pixel shows a cell's ground only if its class lies at the height that the cell was
        looked up at: a pavement's pixel, looked up on the carriageway's plane, shows a place
        before the cell.
        """
        is_ground: np.ndarray = kinds.take(index) == self._kind_of_height
        return is_ground

    def _occupy(
        self,
        contacts: Contacts,
        is_measured: bool,
        state: np.ndarray,
        classes: np.ndarray,
        weight: np.ndarray,
    ) -> np.ndarray:
        """Mark the cells that obstacles stand on, in place; return their values, int32."""
        resolution = self._window.resolution
        # The contact is the obstacle's face; its body begins in the half cell behind.
        behind = np.where(np.isfinite(contacts.distance), contacts.distance, 0) + resolution / 2
        xy = self._view.at(behind, self._lines.bearings)
        points, line = trace_faces(xy, contacts.distance, contacts.value, resolution)
        cells = self._window.flat_index(points[:, 0], points[:, 1])
        # What is measured is there, in the picture or not; a contact edge must be in sight.
        inside = (cells >= 0) & (is_measured | (self._weight.take(cells, mode="clip") > 0))
        cells, line = cells[inside], line[inside]
        state[cells] = OCCUPIED
        ids = np.zeros(state.shape, np.int32)
        ids[cells] = contacts.value[line]
        classes[cells] = self._kinds.classes.take(ids[cells], mode="clip")
        if is_measured:
            spread = np.maximum(contacts.distance[line] * self._options.range_sigma, 1e-6)
            weight[cells] = np.minimum(1, resolution / spread)
        else:
            weight[cells] = self._weight[cells]
        return ids

    def _range_sigma(self, contacts: Contacts, is_measured: bool) -> np.ndarray:
        """Return the standard deviation of each contact's distance, metres."""
        options, distance = self._options, contacts.distance
        if is_measured:
            return distance * options.range_sigma
        # Distance is height / tan(depression): an angle's error grows with its square.
        angle = np.hypot(options.pixel_sigma / self._view.camera.matrix[1, 1], options.pitch_sigma)
        return (distance**2 / self._view.height + self._view.height) * angle


def _lowest(index: np.ndarray, shown: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return of some columns of an index [K, M] the first one that is shown, bool [K, M].

    Of two pixels that show a cell's ground, the lower ground is meant: higher ground at the cell
    would hide it.
    """
    lowest = index[-1].take(found)
    for of_height, is_shown in zip(index[-2::-1], shown[-2::-1], strict=True):
        lowest = np.where(is_shown.take(found), of_height.take(found), lowest)
    return lowest


def _nearest(measured: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return of several distances and values [C] the nearest on each line."""
    distances, values = (np.stack(part) for part in zip(*measured, strict=True))
    nearest = distances.argmin(axis=0), np.arange(distances.shape[1])
    return distances[nearest], values[nearest]


def _placed(contacts: Contacts, distance: np.ndarray, value: np.ndarray) -> Contacts:
    """Return the contacts at measured distances; ground below what was measured is hidden."""
    start, end = contacts.blocked
    start = np.where(value == contacts.value, np.minimum(start, distance), start)
    return Contacts(distance, value, np.stack([start, end]))


def _hidden(camera: CameraModel, options: ProjectionOptions) -> np.ndarray | None:
    """Return the pixels that show the own vehicle, bool [H, W], or None for none."""
    if not 0 <= options.hidden_rows < camera.size[0]:
        raise ValueError(
            f"hidden_rows {options.hidden_rows} must be 0..{camera.size[0] - 1} "
            f"for a picture of {camera.size} (H, W)"
        )
    if options.ego_mask is None and not options.hidden_rows and options.region is None:
        return None
    hidden = np.zeros(camera.size, bool)
    if options.region is not None:
        hidden |= options.region.hidden(camera.size)
    if options.ego_mask is not None:
        if options.ego_mask.shape != camera.size:
            raise ValueError(
                f"ego mask is {options.ego_mask.shape} (H, W), the picture {camera.size}"
            )
        hidden |= options.ego_mask.astype(bool)
    hidden[camera.size[0] - options.hidden_rows :] = True
    return hidden
