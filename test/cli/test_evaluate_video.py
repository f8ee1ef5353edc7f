import json

import cv2
import numpy as np
import pytest

from panoptic_ros.__main__ import main
from panoptic_ros.scores.mask_codes import codes_of_labels

SIZE = (20, 40)


def mask(x, width=10, y=0):
    labels = np.zeros(SIZE, int)
    labels[y : y + 10, x : x + width] = 1
    return labels


def line(frame, object_id, class_id, labels):
    return f"{frame} {object_id} {class_id} 20 40 {codes_of_labels(labels, [1])[1]}\n"


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
        ("0 1 3 20 40 abc\n", "line 1: class 3; it must be 1"),
        ("0 1 1 99999 99999 abc\n", "line 1: 99999 x 99999 is no size"),
        (2 * line(0, 1, 1, mask(0)), "line 2: object 1 is in frame 0 already"),
    ],
)
def test_a_broken_line_is_named(text, words, tmp_path, capsys):
    assert score(tmp_path, line(0, 1, 1, mask(0)), text)[0] == 2
    err = capsys.readouterr().err
    assert f"{tmp_path / 'found' / '0002.txt'}: " in err
    assert words in err


def write_step(folder, shift, number):
    for frame in range(3):
        image = np.zeros((20, 40, 3), np.uint8)  # road
        image[5:15, 4 * frame + shift : 4 * frame + shift + 10] = (number, 0, 13)
        path = folder / "0002" / f"{frame:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)


def test_step_gives_vpq_stq_and_hota(tmp_path, capsys):
    write_step(tmp_path / "truth", 0, 3)
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
