import json

import numpy as np
import pytest

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.track_accuracy import TrackScore

ROAD, PERSON, CAR = 7, 24, 26
ONE, TWO = 26001, 26002


def row(*runs):
    """Return a label image of one row; runs: (value, pixels)."""
    return np.repeat([v for v, _ in runs], [n for _, n in runs]).astype(np.uint16)[None]


def score(*sequences):
    """Score sequences of frames (truth, prediction, track ids)."""
    result = TrackScore(CITYSCAPES)
    for frames in sequences:
        result.start_sequence()
        for truth, prediction, track_ids in frames:
            result.add(truth, prediction, track_ids)
    return result.results()


def test_perfect_tracks():
    truth = row((ROAD, 4), (ONE, 10), (TWO, 6))
    prediction = row((ROAD, 4), (26007, 10), (26000, 6))
    found = score([(truth, prediction, {26007: 5, 26000: 3})] * 3)
    perfect = dict.fromkeys(
        ("hota", "deta", "assa", "loca", "idf1", "motsa", "smotsa", "motsp"), 100
    )
    counts = {"switches": 0, "objects": 2, "sightings": 6, "true_positives": 6}
    assert found.items() >= {**perfect, "mota": 100, **counts}.items()
    assert list(found["classes"]) == ["car"]
    assert found["classes"]["car"].items() >= {**perfect, **counts}.items()


def test_an_identity_that_changes_half_way():
    # Each of the 4 sightings shares its track with 2 of the object's 4: A = 2 / 4.
    frames = [(row((ONE, 4)), row((26000, 4)), {26000: track}) for track in (1, 1, 2, 2)]
    found = score(frames)
    assert found["deta"] == 100
    assert found["assa"] == pytest.approx(50)
    assert found["hota"] == pytest.approx(100 * np.sqrt(0.5))
    # The best track has 2 of 4 sightings: 2 * 2 / (4 + 4).
    assert found["idf1"] == pytest.approx(50)
    assert found["switches"] == 1
    assert found["mota"] == pytest.approx(75)


def test_two_objects_that_swap_tracks():
    truth, prediction = row((ONE, 4), (TWO, 4)), row((26000, 4), (26001, 4))
    found = score(
        [
            (truth, prediction, {26000: 1, 26001: 2}),
            (truth, prediction, {26000: 2, 26001: 1}),
        ]
    )
    # Each sighting: 1 in common of 2 + 2 - 1.
    assert found["assa"] == pytest.approx(100 / 3)
    assert found["idf1"] == pytest.approx(50)
    assert found["switches"] == 2


def test_half_a_mask_counts_at_the_thresholds_up_to_half():
    found = score([(row((ONE, 8)), row((26000, 4), (ROAD, 4)), {26000: 1})])
    # 0.05 .. 0.5 of 0.05 .. 0.95.
    assert found["hota"] == pytest.approx(100 * 10 / 19)
    assert found["idf1"] == 100


def test_misses_and_false_alarms():
    # 1 hit, 1 miss, 1 false alarm: DetA = 1 / 3.
    found = score(
        [
            (
                row((ONE, 4), (TWO, 4), (ROAD, 4)),
                row((26000, 4), (0, 4), (26005, 4)),
                {26000: 1, 26005: 2},
            )
        ]
    )
    assert found["deta"] == pytest.approx(100 / 3)
    assert found["idf1"] == pytest.approx(50)
    assert found["mota"] == pytest.approx(0)


def test_another_class_is_no_match():
    found = score([(row((ONE, 4)), row((24000, 4)), {24000: 1})])
    assert found["hota"] == found["idf1"] == 0


def test_an_instance_without_a_track_is_no_false_alarm():
    truth, prediction = row((ONE, 4), (ROAD, 4)), row((26000, 4), (26001, 4))
    assert score([(truth, prediction, {26000: 1})])["hota"] == 100


@pytest.mark.parametrize(
    ("under", "hota"),
    [(CAR, 100), (0, 100), (PERSON, 100 * np.sqrt(0.5)), (ROAD, 100 * np.sqrt(0.5))],
)
def test_a_mask_on_void_or_its_classes_group_is_left_out(under, hota):
    """3 of its 4 pixels are there; over another class's group it is a false alarm."""
    truth = row((ONE, 4), (under, 3), (ROAD, 1))
    prediction = row((26000, 4), (26001, 4))
    assert score([(truth, prediction, {26000: 1, 26001: 2})])["hota"] == pytest.approx(hota)


def test_classes_by_themselves_and_together():
    """The car is found, the person's track is of an invented one."""
    truth = row((ONE, 4), (24001, 4), (ROAD, 4))
    found = score([(truth, row((26000, 4), (0, 4), (24000, 4)), {26000: 1, 24000: 2})])
    assert (found["classes"]["car"]["motsa"], found["motsa"]) == (100, 0)
    person = found["classes"]["person"]
    assert (person["motsa"], person["objects"], person["false_positives"]) == (-100, 1, 1)


def test_what_others_have_counted_adds_up():
    frames = [(row((ONE, 4), (ROAD, 4)), row((26000, 5), (ROAD, 3)), {26000: t}) for t in (1, 1, 2)]
    whole = TrackScore(CITYSCAPES)
    for _ in range(2):
        part = TrackScore(CITYSCAPES)
        part.start_sequence()
        for frame in frames:
            part.add(*frame)
        whole.add_counts(json.loads(json.dumps(part.counts())))
    assert whole.results() == score(frames, frames)


def test_groups_are_not_asked_for():
    found = score([(row((ONE, 4), (CAR, 4)), row((26000, 4), (0, 4)), {26000: 1})])
    assert (found["hota"], found["objects"]) == (100, 1)


def test_void_pixels_are_left_out_of_the_union():
    found = score([(row((ONE, 4), (0, 3)), row((26000, 7)), {26000: 1})])
    assert found["hota"] == 100


def test_ids_of_two_sequences_are_different_objects():
    frames = [(row((ONE, 4)), row((26000, 4)), {26000: 1})]
    other = [(row((ONE, 4)), row((26000, 4)), {26000: 9})]
    found = score(frames, other)
    assert (found["hota"], found["switches"], found["objects"]) == (100, 0, 2)


def test_without_objects_there_is_no_score():
    found = score([(row((ROAD, 4)), row((ROAD, 4)), {})])
    assert found["hota"] is found["idf1"] is None
    assert found["switches"] == found["objects"] == 0
