"""Other qualities from the matches of panoptic quality: PQ dagger, by size, of boundaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.overlaps import Overlaps
from panoptic_ros.scores.panoptic_quality import (
    PanopticQuality,
    SegmentMatches,
    known_scores,
    match_segments,
)
from panoptic_ros.scores.segments import Segments

# COCO's areas in pixels, from the first to below the second (Lin et al. 2014).
_Ranges: TypeAlias = Mapping[str, tuple[float, float]]
SIZES: _Ranges = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1 << 62)}
# Metres along the optical axis, as above.
DISTANCES = {"0-10 m": (0, 10), "10-25 m": (10, 25), "25-50 m": (25, 50), "50- m": (50, np.inf)}
_GROUPS = ("all", "things", "stuff")


class QualityVariants:
    """Add up matches over images and give the variants of panoptic quality.

    PQ dagger (Porzi et al. 2019, "Seamless Scene Segmentation", section 4; torchmetrics calls
    it the modified PQ): a stuff class's quality is the sum of the IoU of its true segments
    with the prediction's, whatever it is, over their number; things as in PQ.
    By size: a match and a miss count by the area of the true segment, a false alarm by its own.
    By distance: things alone, by the median depth of their pixels, in the same way; only of
    images that come with it.
    Boundary PQ (Cheng et al. 2021): the IoU of a pair is the smaller of its IoU and that of the
    boundaries; only of images that come with them.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        self.quality = PanopticQuality.of(labels)
        self.boundary = PanopticQuality.of(labels)
        self.by_size = {name: PanopticQuality.of(labels) for name in SIZES}
        self.by_distance = {name: PanopticQuality.of(labels) for name in DISTANCES}
        # Of stuff alone: the sum of IoU, and in fn the number of true segments.
        self.stuff = PanopticQuality.of(labels)
        self._stuff_ids = [c.id for c in labels.stuff]

    def add_image(
        self,
        pairs: Overlaps,
        truth: Segments,
        prediction: Segments,
        boundary: Overlaps | None = None,
        distances: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> SegmentMatches:
        """Count one image, as `PanopticQuality.add`, and return its matches.

        boundary: see `boundary_overlaps`; distances: of the true and of the predicted segments,
        see `thing_distances`.
        """
        matches = match_segments(pairs, truth, prediction)
        self.quality.add_matches(matches, truth, prediction)
        measures = [(self.by_size, SIZES, (truth.areas, prediction.areas))]
        if distances:
            measures.append((self.by_distance, DISTANCES, distances))
        for parts, ranges, values in measures:
            for name, (least, most) in ranges.items():
                of_truth, of_prediction = ((v >= least) & (v < most) for v in values)
                parts[name].add_matches(
                    matches, truth, prediction, of_truth=of_truth, of_prediction=of_prediction
                )
        is_stuff = np.isin(truth.class_ids, self._stuff_ids) & ~truth.crowd
        on_stuff = is_stuff[matches.rows]
        self.stuff.count("iou", truth.class_ids[matches.rows[on_stuff]], matches.iou[on_stuff])
        self.stuff.count("fn", truth.class_ids[is_stuff])
        if boundary is not None:
            of_boundaries = match_segments(pairs, truth, prediction, boundary)
            self.boundary.add_matches(of_boundaries, truth, prediction)
        return matches

    def add(self, other: QualityVariants) -> None:
        """Add what another one of the same classes has counted."""
        self.quality.add_counts(other.quality)
        for part, more in zip(self._parts().values(), other._parts().values(), strict=True):
            part.add_counts(more)

    def to_json(self) -> dict[str, Any]:
        """Return what was counted, sparsely, as JSON can hold it; `add_json` takes it back."""
        return {name: part.sparse() for name, part in self._parts().items()}

    def add_json(self, content: Mapping[str, Any]) -> None:
        """Add what `to_json` gave."""
        for name, part in self._parts().items():
            part.add_sparse(content[name])

    def results(self) -> dict[str, Any]:
        """Return the scores as fractions, None where no class occurs.

        {"pq_dagger": {"all", "things", "stuff", "per_class"}, "by_size": {"small", "medium",
        "large": PanopticQuality.results without classes}, "by_distance": {name of DISTANCES:
        "pq", "sq", "rq", "n" of things}, None where no image came with depth, "boundary":
        PanopticQuality.results, None where no image came with boundaries}.
        """
        has_boundaries = self.boundary.results()["all"]["n"]
        return {
            "pq_dagger": self._dagger(),
            "by_size": {name: _known_groups(part.results()) for name, part in self.by_size.items()},
            "by_distance": self._by_distance(),
            "boundary": known_scores(self.boundary.results()) if has_boundaries else None,
        }

    def _parts(self) -> dict[str, PanopticQuality]:
        own = {"stuff": self.stuff, "boundary": self.boundary}
        return {**own, **self.by_size, **self.by_distance}

    def _by_distance(self) -> dict[str, Any] | None:
        found = {name: known_scores(q.results())["things"] for name, q in self.by_distance.items()}
        return found if any(things["n"] for things in found.values()) else None

    def _dagger(self) -> dict[str, Any]:
        weights = self.quality.tp + 0.5 * self.quality.fp + 0.5 * self.quality.fn
        is_stuff = np.isin(self.quality.class_ids, self._stuff_ids)
        weights = np.where(is_stuff, self.stuff.fn, weights)
        sums = np.where(is_stuff, self.stuff.iou, self.quality.iou)
        values = np.divide(sums, weights, out=np.zeros(len(sums)), where=weights > 0)
        groups = {"all": weights > 0, "things": ~is_stuff & (weights > 0)}
        groups["stuff"] = is_stuff & (weights > 0)
        means = {g: float(values[of].mean()) if of.any() else None for g, of in groups.items()}
        classes = zip(self.quality.class_ids.tolist(), values, weights, strict=True)
        return {
            **means,
            "per_class": {i: float(value) if weight > 0 else None for i, value, weight in classes},
        }


def _known_groups(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the groups of `PanopticQuality.results`, None for scores of no class."""
    return {
        group: results[group] if results[group]["n"] else dict.fromkeys(results[group]) | {"n": 0}
        for group in _GROUPS
    }


def thing_distances(
    label_image: np.ndarray, segments: Segments, depth: np.ndarray, labels: LabelSet
) -> np.ndarray:
    """Return the median depth of each thing, float64 [S], metres; NaN for stuff and without any.

    depth: float32 [H, W], metres along the optical axis, 0 or NaN where there is none.
    """
    distances = np.full(len(segments.ids), np.nan)
    is_thing = np.isin(segments.class_ids, labels.ids[labels.is_thing]) & ~segments.crowd
    for i in np.flatnonzero(is_thing):
        own = depth[label_image == segments.ids[i]]
        own = own[own > 0]
        if own.size:
            distances[i] = np.median(own)
    return distances
