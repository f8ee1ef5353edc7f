import math
import time

import pytest

from panoptic_ros.stream.refusals import KINDS, Refusal, Refusals


def test_nothing_refused():
    refusals = Refusals()
    assert refusals.counts == dict.fromkeys(KINDS, 0)
    assert refusals.last is None
    assert refusals.fault is None
    assert refusals.seconds_since_last() == math.inf


def test_counts_by_kind_and_the_last_reason(monkeypatch):
    refusals = Refusals()
    for kind in ("image", "stamp", "image"):
        refusals.add(Refusal(kind, f"a bad {kind}"))
    assert refusals.counts == {"image": 2, "stamp": 1, "memory": 0, "inference": 0}
    assert refusals.last == Refusal("image", "a bad image")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 30)
    assert refusals.seconds_since_last() == pytest.approx(30, abs=5)


@pytest.mark.parametrize(
    ("kind", "is_fault"),
    [("image", False), ("stamp", False), ("memory", True), ("inference", True)],
)
def test_the_nodes_own_failures_stay_until_a_frame_goes_through(kind, is_fault):
    refusals = Refusals()
    refusals.add(Refusal(kind, "x"))
    assert (refusals.fault is not None) == is_fault
    refusals.clear_fault()
    assert refusals.fault is None
    assert refusals.last.kind == kind
