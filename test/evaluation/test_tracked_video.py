import numpy as np
import pytest

from panoptic_ros.evaluation.tracked_video import TrackedVideo
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.video_quality import VideoQuality


def frame(*cars):
    """Return road with cars of some ids, two pixels each."""
    labels = np.full((1, 12), 7, np.uint16)
    for i, car in enumerate(cars):
        labels[0, 2 * i : 2 * i + 2] = car
    return labels


def scored(*frames):
    """Score frames of cars and their tracks against two cars that stay where they are."""
    video = TrackedVideo(CITYSCAPES, "drive")
    for cars, tracks in frames:
        video.add(frame(26001, 26002), frame(*cars), cars, tracks)
    return video.quality


def test_numbers_are_those_of_the_tracks_not_of_the_frames():
    steady = {26005: 70, 26006: 71}
    quality = scored(((26005, 26006), steady), ((26006, 26005), {26006: 70, 26005: 71}))
    found = quality.results()
    assert found["vpq"]["vpq"] == found["stq"]["stq"] == 1
    swapped = scored(((26005, 26006), steady), ((26005, 26006), {26005: 71, 26006: 70})).results()
    assert swapped["vpq"]["windows"][1]["all"]["pq"] == 1
    assert swapped["vpq"]["windows"][2]["things"]["pq"] == 0


def test_things_without_a_track_are_others_in_every_frame():
    found = scored(((26005, 26006), {}), ((26005, 26006), {})).results()
    assert found["vpq"]["windows"][1]["all"]["pq"] == 1
    # Each of two tubes: half of its pixels with each of two tracks.
    assert found["stq"]["aq"] == pytest.approx(0.5)


def test_a_new_sequence_begins_where_the_numbers_end():
    frames = [((26005, 26006), {26005: 2 * i, 26006: 2 * i + 1}) for i in range(501)]
    sequences = scored(*frames).results()["stq"]["sequences"]
    assert {name: s["frames"] for name, s in sequences.items()} == {"drive": 499, "drive (2)": 2}


def test_what_others_have_counted_adds_up():
    first, second = scored(((26005, 26006), {})), scored(((26005,), {26005: 1}))
    whole = VideoQuality(CITYSCAPES)
    for name, part in (("a", first), ("b", second)):
        whole.add_counts({name: part.counts()["drive"]})
    expected = VideoQuality(CITYSCAPES)
    for name, cars in (("a", (26001, 26002)), ("b", (26001,))):
        expected.start_sequence(name)
        expected.add(frame(26001, 26002), frame(*cars))
    assert whole.results() == expected.results()


def test_a_thing_without_a_number_is_its_classs():
    labels = frame(26)
    video = TrackedVideo(CITYSCAPES, "drive")
    video.add(frame(26001), labels, [26], {})
    assert video.quality.results()["vpq"]["vpq"] == 1
