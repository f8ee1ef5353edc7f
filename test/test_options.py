from dataclasses import dataclass, fields

import pytest

from panoptic_ros.grid.grid_options import ProjectionOptions, SemanticGridOptions
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.options import check_options, number
from panoptic_ros.tracking.tracking_options import TrackingOptions

NUMBERS = [
    (kind, entry)
    for kind in (GridWindow, ProjectionOptions, SemanticGridOptions, TrackingOptions)
    for entry in fields(kind)
    if isinstance(entry.default, float | int) and not entry.name.endswith("_sigma")
]


@dataclass
class Oven:
    degrees: float = number(180.0, 50.0, 250.0, "Heat.")
    name: str = "oven"


@pytest.mark.parametrize("degrees", [50.0, 180.0, 250.0])
def test_both_ends_of_a_range_are_in_it(degrees):
    check_options(Oven(degrees))


@pytest.mark.parametrize("degrees", [49.9, 250.1, float("nan"), float("inf")])
def test_what_is_out_of_its_range_is_refused(degrees):
    with pytest.raises(ValueError, match=rf"degrees is {degrees}; it must be in 50\.\.250"):
        check_options(Oven(degrees))


@pytest.mark.parametrize("value", [-1e9, 1e9, float("nan")])
@pytest.mark.parametrize(("kind", "entry"), NUMBERS)
def test_the_grounds_options_refuse_numbers_by_name(kind, entry, value):
    with pytest.raises(ValueError, match=f"{entry.name} is {value}; it must be in"):
        kind(**{entry.name: value})


@pytest.mark.parametrize(("kind", "entry"), NUMBERS)
def test_the_grounds_options_are_described_with_a_default_in_range(kind, entry):
    option = entry.metadata["option"]
    assert option.limits[0] <= entry.default <= option.limits[1]
    assert option.description.endswith(".")
