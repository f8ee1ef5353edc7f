"""Thresholds that every fusion strategy obeys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from panoptic_ros.labels import INSTANCE_DIVISOR
from panoptic_ros.options import number


@dataclass(frozen=True)
class FusionOptions:
    """Hold the thresholds of the merge; names and defaults follow panoptic FPN.

    class_limits: most instances of a class (label id), 0..1000; the best ones are taken.
    class_thresholds: `score_threshold` of the classes (label ids) that have one of their own.
    classes: label ids of the classes that there are to be, none: all. Pixels of other stuff are
    unlabeled, instances of other things take no part.

    Raise ValueError that names the field and its range.
    Source: Kirillov et al. 2019, "Panoptic Segmentation", section 7, and the COMBINE
    defaults of detectron2.
    """

    score_threshold: float = number(0.5, 0.0, 1.0, "Instances with a lower score are ignored.")
    overlap_threshold: float = number(
        0.5, 0.0, 1.0, "An instance of which better ones cover more than this share is dropped."
    )
    stuff_area_limit: int = number(
        4096, 0, 1 << 30, "A stuff class with fewer pixels in the image becomes unlabeled."
    )
    mask_threshold: float = number(
        0.5,
        0.0,
        1.0,
        "An instance holds the pixels where its mask reaches this probability (not 0 or 1).",
    )
    class_limits: Mapping[int, int] = field(default_factory=dict)
    class_thresholds: Mapping[int, float] = field(default_factory=dict)
    classes: tuple[int, ...] = ()
    semantic_veto: float = number(
        1.0,
        0.0,
        1.0,
        "An instance over whose mask the semantic network gives stuff a higher mean probability "
        "is dropped; 1: none is. For stack, conv_head, spatial_ranking, panoptic_fpn.",
    )

    def __post_init__(self) -> None:
        for name in ("score_threshold", "overlap_threshold", "semantic_veto"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; it must be in 0..1")
        if not 0 < self.mask_threshold < 1:
            raise ValueError(f"mask_threshold is {self.mask_threshold}; it must be in ]0, 1[")
        if self.stuff_area_limit < 0:
            raise ValueError(f"stuff_area_limit is {self.stuff_area_limit}; it must be >= 0")
        for class_id, limit in self.class_limits.items():
            if not 0 <= limit <= INSTANCE_DIVISOR:
                raise ValueError(
                    f"class_limits: {limit} for class {class_id}; "
                    f"it must be in 0..{INSTANCE_DIVISOR}"
                )
        for class_id, threshold in self.class_thresholds.items():
            if not 0 <= threshold <= 1:
                raise ValueError(
                    f"class_thresholds: {threshold} for class {class_id}; it must be in 0..1"
                )

    def keeps(self, class_id: int) -> bool:
        """Return whether a class (label id) is one of `classes`."""
        return not self.classes or class_id in self.classes
