import numpy as np
import pytest

from panoptic_ros.labels import LabelClass, LabelSet
from panoptic_ros.scores.panoptic_quality import PanopticQuality
from panoptic_ros.scores.segments import label_image_segments
from panoptic_ros.scores.video_quality import VideoQuality

SKY, PLANTS, CAR = 1, 2, 3
LABELS = LabelSet(
    "three",
    (
        LabelClass(SKY, "sky", False, (0, 0, 0)),
        LabelClass(PLANTS, "vegetation", False, (0, 0, 0)),
        LabelClass(CAR, "car", True, (0, 0, 0)),
    ),
)
# deeplab2's test sequence of three frames of 8 x 8: s sky, v vegetation, a digit the car of that
# number; STQ .66841773352, AQ .55366581415, IoU .8069529580309542.
TRUTH = (
    "ssssssss ssssssss sss2svvv s2222vvv 222222vv 2222222v 2222222v 222222vv",
    "ssssssss ssssssss s2ssvvss 222vvvvs 2222vvvv 22222vvv 22222vvv 2222vvvv",
    "ssssssss ssssssss ssssssss 2svvvsss 22vvvvss 222vvvvs 222vvvvv 222vvvvv",
)
PREDICTION = (
    "ssssssss ssssssss sssssvss sss22vvv s22221vv 2222211v 2222111v 2222111v",
    "ssssssss ssssssss ssssvvss s222vvvv 2222vvvv 22222vvv 222211vv 22221vvv",
    "ssssssss ssssssss ssssvsss ssvvvvss 222vvvss 222vvvvv 2222vvvv 2222vvvv",
)


def image(text):
    codes = {"s": SKY, "v": PLANTS, ".": 0, "c": CAR}
    rows = text.split()
    return np.array([[codes[x] if x in codes else CAR * 1000 + int(x) for x in r] for r in rows])


def scored(truth, prediction):
    quality = VideoQuality(LABELS)
    quality.start_sequence("a")
    for pair in zip(truth, prediction, strict=True):
        quality.add(*map(image, pair))
    return quality.results()


def test_the_sequence_of_deeplab2():
    found = scored(TRUTH, PREDICTION)["stq"]
    assert found["stq"] == pytest.approx(0.66841773352, abs=1e-10)
    assert found["aq"] == pytest.approx(0.55366581415, abs=1e-10)
    assert found["iou"] == pytest.approx(0.8069529580309542, abs=1e-12)
    assert found["sequences"]["a"] == {**{k: found[k] for k in ("stq", "aq", "iou")}, "frames": 3}


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        ("11111", "11111", [1.0, 1.0, 1.0]),
        ("11111", "11222", [0.72111026, 0.52, 1.0]),
        ("11111", "12345", [0.447213596, 0.2, 1.0]),
        ("11111", "s1111", [0.50596443, 0.64, 0.4]),
        # A group first: its pixels ask for no track.
        ("c11111", "222211", [0.72111026, 0.52, 1.0]),
        ("c11111", "22s111", [0.40824829, 0.4, 5 / 12]),
        ("s1111", "11111", [0.56568542, 0.8, 0.4]),
        ("s1111", "22211", [0.42426407, 0.45, 0.4]),
        ("s1111", "22s11", [0.3, 0.3, 0.3]),
    ],
)
def test_the_small_examples_of_deeplab2(truth, prediction, expected):
    found = scored([truth], [prediction])["stq"]
    assert [found[k] for k in ("stq", "aq", "iou")] == pytest.approx(expected, abs=1e-7)


def test_a_window_is_one_image_of_its_frames_side_by_side():
    found = scored(TRUTH, PREDICTION)["vpq"]["windows"]
    for length in (1, 2, 3):
        quality = PanopticQuality.of(LABELS)
        for start in range(4 - length):
            sides = (
                np.concatenate([image(t) for t in side[start : start + length]], axis=1)
                for side in (TRUTH, PREDICTION)
            )
            quality.add(*label_image_segments(*sides, LABELS))
        assert found[length]["all"] == quality.results()["all"]
    assert found[4]["all"]["pq"] is None  # three frames have no window of four


def test_a_track_that_changes_costs_longer_windows_only():
    found = scored(["1111"] * 2, ["1111", "2222"])["vpq"]
    assert [found["windows"][k]["all"]["pq"] for k in (1, 2)] == [1.0, 0.0]
    assert found["vpq"] == 0.5


def test_sequences_do_not_share_identities():
    quality = VideoQuality(LABELS)
    for name, number in (("a", "1"), ("b", "2")):
        quality.start_sequence(name)
        quality.add(image("1111"), image(number * 4))
    assert quality.results()["stq"]["stq"] == 1.0


def test_nothing_is_none():
    found = scored(["...."], ["ss11"])
    assert (found["vpq"]["vpq"], found["stq"]["stq"]) == (None, None)
