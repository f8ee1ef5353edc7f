import numpy as np
import pytest

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.replay.live_score import LiveScore, report_text

ROAD, SKY, CAR = 7, 23, 26001
TRUTH = np.array([[SKY, SKY, SKY, SKY], [ROAD, ROAD, CAR, CAR]], np.uint16)
# The car's right half is called road: IoU of the car 1/2 (no match), of the road 2/3.
HALF = np.array([[SKY, SKY, SKY, SKY], [ROAD, ROAD, CAR, ROAD]], np.uint16)


@pytest.fixture
def score():
    return LiveScore(CITYSCAPES)


def test_without_anything_there_is_no_figure(score):
    assert score.results() == {
        "frames": {"published": 0, "answered": 0, "dropped": 0, "scored": 0},
        "latency_ms": None,
        "panoptic": None,
        "miou": None,
    }


def test_frames_are_counted_and_their_latency_taken(score):
    for stamp, time in ((1, 10.0), (2, 10.1), (3, 10.2), (4, 10.3)):
        score.add_image(stamp, time)
    score.add_answer(1, 10.2)
    score.add_answer(4, 10.7)
    results = score.results()
    assert results["frames"] == {"published": 4, "answered": 2, "dropped": 2, "scored": 0}
    latency = {"mean": 300, "p50": 300, "p95": 390, "min": 200, "max": 400}
    assert results["latency_ms"] == pytest.approx(latency)


def test_an_answer_may_overtake_its_image(score):
    score.add_answer(1, 5.0)
    score.add_image(1, 4.9)
    results = score.results()
    assert results["frames"]["published"] == 1
    assert results["latency_ms"]["mean"] == pytest.approx(100)


def test_an_answer_to_an_image_that_was_not_seen_has_no_latency(score):
    score.add_image(1, 1.0)
    score.add_answer(2, 2.0)
    results = score.results()
    assert results["frames"] == {"published": 2, "answered": 1, "dropped": 1, "scored": 0}
    assert results["latency_ms"] is None


@pytest.mark.parametrize("order", [("truth", "labels"), ("labels", "truth")])
def test_labels_are_scored_against_the_truth_of_their_stamp(score, order):
    add = {
        "truth": lambda: (score.add_truth(1, TRUTH), score.add_truth(2, np.full_like(TRUTH, 8))),
        "labels": lambda: score.add_labels(1, HALF),
    }
    for kind in order:
        add[kind]()
    results = score.results()
    assert results["frames"]["scored"] == 1
    classes = results["panoptic"]["per_class"]
    assert classes[SKY]["iou"] == 1
    assert classes[ROAD]["iou"] == pytest.approx(2 / 3)
    assert (classes[26]["tp"], classes[26]["fp"], classes[26]["fn"]) == (0, 1, 1)
    assert results["panoptic"]["all"]["pq"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert results["miou"] == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)


def test_frames_of_one_stamp_are_counted_but_neither_timed_nor_scored(score):
    for time in (1.0, 1.1, 1.2):
        score.add_image(0, time)
    for time in (1.5, 1.6):
        score.add_answer(0, time)
        score.add_labels(0, TRUTH)
    score.add_truth(0, TRUTH)
    score.add_image(7, 2.0)
    score.add_answer(7, 2.5)
    results = score.results()
    assert results["frames"] == {"published": 4, "answered": 3, "dropped": 1, "scored": 0}
    assert results["latency_ms"]["max"] == results["latency_ms"]["min"] == pytest.approx(500)
    assert score.problems == ["not scored: the stamps 0.000000000 s belong to several images"]


def test_a_truth_that_comes_twice_counts_once(score):
    score.add_image(1, 1.0)
    score.add_answer(1, 2.0)
    for _ in range(2):
        score.add_truth(1, TRUTH)
    score.add_labels(1, TRUTH)
    results = score.results()
    assert results["frames"] == {"published": 1, "answered": 1, "dropped": 0, "scored": 1}
    assert results["panoptic"]["per_class"][SKY]["tp"] == 1


def test_labels_without_truth_are_forgotten_in_the_end(score):
    for stamp in range(60):
        score.add_labels(stamp, TRUTH)
    for stamp in range(60):
        score.add_truth(stamp, TRUTH)
    assert score.results()["frames"]["scored"] == 50


@pytest.mark.parametrize("labels", [TRUTH[:, :3], np.full_like(TRUTH, 99)])
def test_labels_that_cannot_be_scored_are_named(score, labels):
    score.add_truth(5, TRUTH)
    score.add_labels(5, labels)
    assert score.results()["frames"]["scored"] == 0
    [problem] = score.problems
    assert "stamp 5 ns" in problem


COUNTS = {"published": 4, "answered": 3, "dropped": 1, "scored": 2}


def test_what_was_not_seen_is_left_out_of_the_report():
    results = {"frames": COUNTS, "latency_ms": None, "panoptic": None, "miou": None}
    lines = report_text(results).splitlines()
    assert [line.split() for line in lines] == [
        ["Frames"],
        ["published", "answered", "dropped", "scored"],
        ["4", "3", "1", "2"],
    ]


def test_latency_and_quality_are_reported():
    group = {"pq": 0.5, "sq": 0.625, "rq": 0.8, "n": 3}
    results = {
        "frames": COUNTS,
        "latency_ms": {"mean": 250.0, "p50": 240.0, "p95": 300.04, "min": 200.0, "max": 310.0},
        "panoptic": {"all": group, "things": group, "stuff": {**group, "n": 9}},
        "miou": 0.4321,
    }
    text = report_text(results)
    rows = [line.split() for line in text.splitlines()]
    assert ["250.0", "240.0", "300.0", "200.0", "310.0"] in rows
    assert ["stuff", "50.0", "62.5", "80.0", "9"] in rows
    assert "mIoU 43.2 %" in text
