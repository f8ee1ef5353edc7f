import json
import os

import cv2
import numpy as np
import pytest
from made_bags import START, STEP, STORE, TRUTH, TYPES, compressed, header, raw, write
from rosbags.rosbag2 import StoragePlugin, Writer

from panoptic_ros.__main__ import main
from panoptic_ros.scores.mask_codes import codes_of_labels

SIZE = (20, 40)


def mask(x, width=10, y=0):
    labels = np.zeros(SIZE, int)
    labels[y : y + 10, x : x + width] = 1
    return labels


def line(frame, object_id, class_id, labels):
    height, width = labels.shape
    return f"{frame} {object_id} {class_id} {height} {width} {codes_of_labels(labels, [1])[1]}\n"


def score(tmp_path, truth, prediction, *words):
    for side, text in (("truth", truth), ("found", prediction)):
        (tmp_path / side).mkdir(exist_ok=True)
        (tmp_path / side / "0002.txt").write_text(text)
    out = tmp_path / "out.json"
    places = ["--truth", tmp_path / "truth", "--prediction", tmp_path / "found", "--json", out]
    code = main(["evaluate", "video", *map(str, places), *words])
    return code, json.loads(out.read_text()) if out.is_file() else None


def test_mots_worked_out_on_paper(tmp_path, capsys):
    # A car over four frames, its track changes half-way, masks of IoU 0.8; an invented one.
    truth = "".join(line(f, 1001, 1, mask(0)) for f in range(4))
    found = "".join(line(f, 1 + f // 2, 1, mask(0, 8)) for f in range(4))
    found += line(0, 9, 1, mask(30))
    code, results = score(tmp_path, truth, found)
    car = results["classes"]["car"]
    assert (code, car["true_positives"], car["false_positives"], car["switches"]) == (0, 4, 1, 1)
    assert car["motsa"] == pytest.approx(100 * (4 - 1 - 1) / 4)
    assert car["smotsa"] == pytest.approx(100 * (4 * 0.8 - 1 - 1) / 4)
    assert car["motsp"] == pytest.approx(80)
    # Detections count at the 16 of 19 thresholds up to 0.8; A = 2 / 4 there.
    det, ass = (7 * 0 + 4 / 5) * 16 / 19, 16 / 19 / 2
    assert car["assa"] == pytest.approx(100 * ass)
    assert car["idf1"] == pytest.approx(100 * 2 * 2 / (4 + 5))
    assert results["classes"]["pedestrian"]["hota"] is None
    assert car["deta"] == pytest.approx(100 * det)
    assert "car" in capsys.readouterr().out


def test_what_lies_on_ignored_regions_is_left_out(tmp_path):
    truth = line(0, 1001, 1, mask(0)) + line(0, 10000, 10, mask(20))
    found = line(0, 1, 1, mask(0)) + line(0, 2, 1, mask(18))
    assert score(tmp_path, truth, found)[1]["classes"]["car"]["hota"] == 100


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 1 1 20 40\n", "line 1: 5 fields"),
        ("x 1 1 20 40 abc\n", "line 1: 'x' must be a whole number"),
        ("0 9223372036854775808 1 20 40 abc\n", "'9223372036854775808' must be a whole number of"),
        ("0 1 3 20 40 abc\n", "line 1: class 3; it must be 1"),
        ("0 1 1 99999 99999 abc\n", "line 1: 99999 x 99999 is no size"),
        (2 * line(0, 1, 1, mask(0)), "line 2: object 1 is in frame 0 already"),
        ("0 1 1 20 40 o\n", "line 1: the mask 'o' is not of 20 x 40 pixels"),
        ("0 1 1 20 40 `i0P\n", "line 1: the mask '`i0P' is not of 20 x 40 pixels"),
        (f"0 1 1 20 40 {99 * 'o'}\n", "line 1: the mask 'ooo"),
        ("0 1 1 20 40 !\n", "line 1: the mask '!' cannot be decoded"),
        ("0 1 1 20 40 PI\n", "line 1: the mask 'PI' is not of"),
        (line(0, 1, 1, mask(0)).replace("20 40", "20 39"), "is not of 20 x 39 pixels"),
        ("0 1 1 20 40 Pi0\n", "line 1: the mask 'Pi0' is empty"),
        (
            line(0, 1, 1, mask(0)) + line(0, 2, 2, mask(8)),
            "line 2: object 2 lies by 20 pixels on others of frame 0",
        ),
        (
            line(0, 1, 1, mask(0)) + line(0, 2, 1, np.eye(9, 9, dtype=int)),
            "line 2: 9 x 9 pixels, where frame 0 has 20 x 40",
        ),
        (
            line(0, 1, 1, np.eye(9, 9, dtype=int)),
            "frame 0 has masks of (9, 9) (rows, columns), ",
        ),
    ],
)
def test_a_broken_line_is_named(text, words, tmp_path, capsys):
    assert score(tmp_path, line(0, 1, 1, mask(0)), text)[0] == 2
    err = capsys.readouterr().err
    assert f"{tmp_path / 'found' / '0002.txt'}: " in err
    assert words in err


def test_a_sequence_without_truth_is_named(tmp_path, capsys):
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "0009.txt").write_text(line(0, 1, 1, mask(0)))
    assert score(tmp_path, line(0, 1, 1, mask(0)), line(0, 1, 1, mask(0)))[0] == 0
    assert f"not scored, as {tmp_path / 'truth'} has no truth: 0009" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["0002.txt", "0003.txt"])
@pytest.mark.parametrize("side", ["truth", "found"])
def test_scores_are_not_written_among_what_they_are_of(tmp_path, capsys, side, name):
    text = line(0, 1, 1, mask(0))
    out = tmp_path / side / name
    assert score(tmp_path, text, text, "--json", str(out))[0] == 2
    assert "may be one of its files; choose another" in capsys.readouterr().err
    assert not out.exists() or out.read_text() == text
    inside = tmp_path / side / "scores.json"
    assert score(tmp_path, text, text, "--json", str(inside))[0] == 0
    assert inside.is_file()


def write_step(folder, shift, number):
    for frame in range(3):
        image = np.zeros((20, 40, 3), np.uint8)  # road
        image[5:15, 4 * frame + shift : 4 * frame + shift + 10] = (number, 0, 13)
        path = folder / "0002" / f"{frame:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)


def test_step_gives_vpq_stq_and_hota(tmp_path, capsys):
    write_step(tmp_path / "truth", 0, 3)
    (tmp_path / "truth" / "readme.txt").write_text("no track")
    write_step(tmp_path / "found", 0, 7)
    out = tmp_path / "out.json"
    words = ["--truth", tmp_path / "truth", "--prediction", tmp_path / "found", "--json", out]
    assert main(["evaluate", "video", *map(str, words)]) == 0
    results = json.loads(out.read_text())
    assert results["sequences"] == {"0002": 3}
    assert (results["video"]["vpq"]["vpq"], results["video"]["stq"]["stq"]) == (1.0, 1.0)
    assert results["tracks"]["hota"] == 100
    assert [r.split()[-1] for r in capsys.readouterr().out.splitlines()[1:7]] == ["100.0"] * 4 + [
        "-",
        "100.0",
    ]


def test_a_frame_without_prediction_is_empty_and_named(tmp_path, capsys):
    write_step(tmp_path / "truth", 0, 3)
    write_step(tmp_path / "found", 0, 3)
    (tmp_path / "found" / "0002" / "000001.png").unlink()
    words = ["--truth", tmp_path / "truth", "--prediction", tmp_path / "found"]
    assert main(["evaluate", "video", *map(str, words)]) == 0
    assert "no prediction for frame 0002/000001: counted as empty" in capsys.readouterr().err


CAR, ROAD = 26001, 7


def picture(car=CAR):
    labels = np.full(SIZE, ROAD, np.uint16)
    labels[:10, :10] = car
    return labels


def instances(time, *pairs):
    """Return the message of cars (value in the label image, track id)."""

    box = TYPES["sensor_msgs/msg/RegionOfInterest"](0, 0, 10, 10, False)
    mask = TYPES["sensor_msgs/msg/Image"](header(time), 0, 0, "mono8", 0, 0, np.zeros(0, np.uint8))
    place = TYPES["geometry_msgs/msg/Point"](0.0, 0.0, 0.0)
    cars = [
        TYPES["panoptic_ros/msg/PanopticInstance"](
            value, track, 26, "car", 0.9, box, 100, mask, place
        )
        for value, track in pairs
    ]
    return TYPES["panoptic_ros/msg/PanopticInstances"](header(time), cars, "")


def score_bags(tmp_path, found, *words, times=None):
    """Score label images on /node/labels, and tracks by frame, against a car that stays.

    found: (label image, what `instances` takes or None) per frame.
    """
    truth, prediction = [], []
    for i, (labels, pairs) in enumerate(found):
        time = START + i * STEP if times is None else times[i]
        truth.append((TRUTH, time, compressed(time, picture())))
        prediction.append(("/node/labels", time, compressed(time, labels)))
        if pairs is not None:
            prediction.append(("/node/instances", time, instances(time, *pairs)))
    out = tmp_path / "out.json"
    write(tmp_path / "truth", truth, StoragePlugin.MCAP)
    write(tmp_path / "found", prediction, StoragePlugin.SQLITE3)
    places = ["--truth", tmp_path / "truth", "--prediction", tmp_path / "found", "--json", out]
    code = main(["evaluate", "video", *map(str, places), *words])
    return code, json.loads(out.read_text()) if out.is_file() else None


@pytest.mark.parametrize(
    ("cars", "tracks", "assa", "switches"),
    [
        ((26000, 26007), (((26000, 5),), ((26007, 5),)), 100, 0),
        ((26000, 26000), (((26000, 5),), ((26000, 6),)), 50, 1),
        ((26003, 26003), (None, None), 100, 0),
        ((26003, 26004), (None, None), 50, 1),
    ],
    ids=["tracks last", "tracks change", "numbers last", "numbers change"],
)
def test_tracks_of_a_bag_are_those_of_its_instances_or_else_its_numbers(
    tmp_path, cars, tracks, assa, switches
):
    frames = [(picture(car), pairs) for car, pairs in zip(cars, tracks, strict=True)]
    code, results = score_bags(tmp_path, frames)
    assert (code, results["sequences"]) == (0, {"": 2})
    assert results["tracks"]["assa"] == pytest.approx(assa)
    assert results["tracks"]["switches"] == switches
    # The road is one of two classes.
    pair = results["video"]["vpq"]["windows"]["2"]["all"]["pq"]
    assert pair == pytest.approx(1 if assa == 100 else 0.5)


def test_an_instance_without_a_track_is_not_asked_for_one(tmp_path):
    _, results = score_bags(tmp_path, [(picture(), ((CAR, -1),)), (picture(), ((CAR, 4),))])
    assert (results["tracks"]["true_positives"], results["tracks"]["false_negatives"]) == (1, 1)


@pytest.mark.parametrize(
    ("frames", "words", "said"),
    [
        (
            [(picture(), ((CAR, 4), (26002, 4)))],
            [],
            "track 4 has several instances at 1700000000.000000000 s",
        ),
        ([(picture(99), None)], [], "holds [99], of no class"),
        (
            [(picture(), None)],
            ["--prediction-topic", "/labels"],
            "/labels is no image topic; name one by --prediction-topic; image topics: /node/labels",
        ),
        ([(picture()[:5], None)], [], "frame 1700000000.000000000: truth is [20, 40] (rows"),
    ],
)
def test_what_is_wrong_with_a_bag_is_named(tmp_path, capsys, frames, words, said):
    assert score_bags(tmp_path, frames, *words)[0] == 2
    err = capsys.readouterr().err
    assert f"{tmp_path / 'found'}: " in err
    assert said in err


def test_stamps_that_several_frames_share_are_not_scored(tmp_path, capsys):
    frames = [(picture(), ((CAR, i),)) for i in (1, 1, 2)]
    code, results = score_bags(tmp_path, frames, times=(START, START + STEP, START + STEP))
    assert (code, results["sequences"]) == (1, {"": 1})
    assert "broken: " in (err := capsys.readouterr().err)
    assert "/node/labels, which are not scored (the first: 1700000000.100000000 s)" in err


def truth_of(path, *messages):
    """Write a bag of truth, frame by frame: label image, or message of another type or none."""
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {}
        for i, (kind, message) in enumerate(messages):
            if kind not in topics:
                topics[kind] = writer.add_connection(TRUTH, kind, typestore=STORE)
            data = STORE.serialize_cdr(message(START + i * STEP), kind) if message else b""
            writer.write(topics[kind], START + i * STEP, data)
    return path


IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
GOOD = COMPRESSED, lambda time: compressed(time, picture())
OTHER = IMAGE, lambda time: raw(time, np.zeros((20, 40, 3), np.uint8))


@pytest.mark.parametrize("command", ["video", "files"])
@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ([OTHER, OTHER], f"{TRUTH}: its {IMAGE} are left out (2), it is of {COMPRESSED}"),
        (
            [(COMPRESSED, None)],
            f"1 messages of {TRUTH} have no stamp that can be read, and are not",
        ),
    ],
    ids=["of another type", "empty"],
)
def test_messages_of_a_truth_that_are_none_are_counted(tmp_path, capsys, command, broken, words):
    good = truth_of(tmp_path / "good", *[GOOD] * 5)
    truth = truth_of(tmp_path / "truth", *[GOOD] * 3, *broken)
    places = ["--truth", truth, "--prediction", good, "--prediction-topic", TRUTH]
    assert main(["evaluate", command, *map(str, places)]) == 1
    assert words in capsys.readouterr().err


def test_why_a_topic_may_be_missing_is_told(tmp_path, capsys):
    bag = truth_of(tmp_path / "bag", GOOD)
    (file,) = bag.glob("*.mcap")
    os.truncate(file, 60)
    places = ["--truth", file, "--prediction", file, "--truth-topic", "/labels"]
    assert main(["evaluate", "video", *map(str, places)]) == 2
    err = capsys.readouterr().err
    assert (
        f"/labels is no image topic; name one by --truth-topic; image topics: none; {file}" in err
    )
