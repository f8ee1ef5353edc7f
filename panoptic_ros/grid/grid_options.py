"""How observations are fused into the semantic grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from panoptic_ros.options import check_options, number


@dataclass(frozen=True)
class SemanticGridOptions:
    """Set the inverse sensor model, how fast memories fade, and what classes cost.

    costs: 0..100 per class name, in place of the default. The defaults of the sensor model were
    chosen on drives of the town. Raise ValueError that names the field and its limits.
    """

    hit_probability: float = number(
        0.8, 0.51, 0.99, "Probability that a cell is occupied, seen so once with full certainty."
    )
    miss_probability: float = number(
        0.3, 0.01, 0.49, "Probability that a cell is occupied, seen free once, fully certain."
    )
    max_log_odds: float = number(
        4.0, 0.5, 20.0, "Largest log-odds that a cell can reach: how sure it can get at all."
    )
    min_log_odds: float = number(
        0.1, 0.0, 5.0, "A cell nearer to even odds than this is unknown (log-odds)."
    )
    static_half_life: float = number(
        30.0, 0.1, 1e6, "Seconds in which evidence of ground and static classes fades to half."
    )
    dynamic_half_life: float = number(
        1.0, 0.1, 1e6, "Seconds in which evidence of things that move fades to half."
    )
    class_prior: float = number(
        0.1, 1e-3, 10.0, "Count that each class has before anything is seen (Dirichlet prior)."
    )
    costs: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_options(self)
        for name, cost in self.costs.items():
            if not 0 <= cost <= 100:
                raise ValueError(f"costs: {cost} for class {name!r}; it must be in 0..100")

    @property
    def hit(self) -> float:
        """Log-odds that an occupied cell gains per observation."""
        return math.log(self.hit_probability / (1 - self.hit_probability))

    @property
    def miss(self) -> float:
        """Log-odds that a free cell gains per observation, negative."""
        return math.log(self.miss_probability / (1 - self.miss_probability))
