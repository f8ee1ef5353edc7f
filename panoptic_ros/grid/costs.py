"""Cost of driving over each class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from panoptic_ros.labels import LabelSet

LETHAL = 100
# By class name, 0 (drive) to 100 (never), of nav_msgs/OccupancyGrid. Ground differs in how well
# it carries a vehicle, obstacles in what a touch would do: persons are worth the most, twigs
# the least.
COSTS: Mapping[str, int] = {
    "road": 0,
    "parking": 5,
    "lane marking": 0,
    "rail track": 30,
    "ground": 30,
    "sidewalk": 40,
    "terrain": 50,
    "vegetation": 80,
    "fence": 90,
    "building": 95,
    "wall": 95,
    "pole": 95,
    "traffic light": 95,
    "traffic sign": 95,
    "person": LETHAL,
    "rider": LETHAL,
    "bicycle": LETHAL,
    "motorcycle": LETHAL,
    "car": 98,
    "truck": 98,
    "bus": 98,
    "train": 98,
}


def cost_table(costs: Mapping[str, int], labels: LabelSet) -> np.ndarray:
    """Return the cost of each label id, float32 [largest id + 1].

    costs: class name to 0..100, on top of COSTS; a class that is in neither costs 100.
    Raise ValueError for a name that the label set does not know.
    """
    unknown = sorted(set(costs) - set(labels.by_name))
    if unknown:
        raise ValueError(
            f"costs: no class {', '.join(map(repr, unknown))} in label set {labels.name!r}; "
            f"it has {', '.join(map(repr, labels.by_name))}"
        )
    table = np.full(int(labels.ids.max()) + 1, LETHAL, np.float32)
    for entry in labels.classes:
        table[entry.id] = costs.get(entry.name, COSTS.get(entry.name, LETHAL))
    return table
