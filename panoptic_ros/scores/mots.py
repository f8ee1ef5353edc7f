"""Tracks with masks, a class at a time: HOTA's family, identities, and MOTS' own metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from panoptic_ros.scores.mask_codes import codes_iou

MATCH_IOU = 0.5
# Result's key -> whose figure, and its name there.
_PERCENTAGES = {
    **{
        name.lower(): ("hota", name)
        for name in ("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA")
    },
    "smotsa": ("clear", "sMOTA"),
    "motsa": ("clear", "MOTA"),
    "motsp": ("clear", "MOTP"),
    "idf1": ("identity", "IDF1"),
}
_COUNTS = {
    "true_positives": "CLR_TP",
    "false_positives": "CLR_FP",
    "false_negatives": "CLR_FN",
    "switches": "IDSW",
    "fragments": "Frag",
    "mostly_tracked": "MT",
    "mostly_lost": "ML",
}


@dataclass
class TrackSequence:
    """Hold a sequence's frames: true ids [T], track ids [P] and their similarity [T, P]."""

    truth: list[np.ndarray] = field(default_factory=list)
    tracks: list[np.ndarray] = field(default_factory=list)
    similarity: list[np.ndarray] = field(default_factory=list)

    def add_masks(
        self,
        truth: Sequence[tuple[int, dict]],
        tracks: Sequence[tuple[int, dict]],
        ignored: Sequence[dict] = (),
    ) -> None:
        """Count the next frame, of one class: (id, mask as pycocotools takes it) each.

        ignored: regions; a track's mask that lies by more than half on them and matches no
        object is left out.
        """
        masks = [mask for _, mask in tracks]
        iou = codes_iou([mask for _, mask in truth], masks)
        inside = np.zeros(len(masks))
        if ignored and masks:
            inside = codes_iou(masks, [coco_mask.merge(list(ignored))], is_crowd=True)[:, 0]
        kept = (iou > MATCH_IOU).any(axis=0) | (inside <= MATCH_IOU)
        self.truth.append(np.array([i for i, _ in truth], np.int64))
        self.tracks.append(np.array([i for i, _ in tracks], np.int64)[kept])
        self.similarity.append(iou[:, kept])


def track_results(sequences: Sequence[TrackSequence]) -> dict[str, Any]:
    """Return the scores of one class over sequences: percentages and counts.

    Percentages are None where no object is in the truth. MOTSA, sMOTSA and MOTSP are CLEAR's
    MOTA, its soft form and MOTP at mask IoU 0.5 (Voigtlaender et al. 2019, "MOTS"); for the
    others see `TrackScore`.
    """
    # A replay gives its other scores where `trackers` cannot be imported.
    from trackers import eval as metrics

    data = [(s.truth, s.tracks, s.similarity) for s in sequences]
    found = {
        "hota": metrics.aggregate_hota_metrics([metrics.compute_hota_metrics(*d) for d in data]),
        "clear": metrics.aggregate_clear_metrics([metrics.compute_clear_metrics(*d) for d in data]),
        "identity": metrics.aggregate_identity_metrics(
            [metrics.compute_identity_metrics(*d) for d in data]
        ),
    }
    sightings = sum(len(ids) for s in sequences for ids in s.truth)
    objects = sum(len(np.unique(np.concatenate(s.truth))) for s in sequences if s.truth)
    return {
        **{
            key: 100 * float(found[part][name]) if sightings else None
            for key, (part, name) in _PERCENTAGES.items()
        },
        **{key: int(found["clear"][name]) for key, name in _COUNTS.items()},
        "objects": objects,
        "sightings": sightings,
    }
