from dataclasses import fields

import pytest

from panoptic_ros.tracking import TrackingOptions


@pytest.mark.parametrize("name", [entry.name for entry in fields(TrackingOptions)])
@pytest.mark.parametrize("value", [-1.0, 1e9, float("nan")])
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; it must be in"):
        TrackingOptions(**{name: value})


def test_each_field_says_what_it_is_and_its_range():
    for entry in fields(TrackingOptions):
        low, high = entry.metadata["option"].limits
        assert low <= entry.default <= high
        assert entry.metadata["option"].description.endswith(".")
