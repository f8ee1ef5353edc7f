import json
import math
import shutil

import cv2
import numpy as np
import pytest

from panoptic_ros.__main__ import main

FRAMES = 6


def labels(number):
    image = np.full((24, 40), 7, np.uint16)
    image[:8] = 23
    image[12 : 18 + number % 3, 4 + number : 14 + number] = 26000
    return image


def write(folder, change=lambda image, number: image, frames=FRAMES):
    folder.mkdir()
    for number in range(frames):
        image = change(labels(number).copy(), number)
        cv2.imwrite(str(folder / f"f{number}_gtFine_instanceIds.png"), image)
    return folder


def run(root, name, prediction, truth):
    words = ["--truth", str(truth), "--prediction", str(prediction), "--out", str(root / name)]
    assert main(["evaluate", "files", *words]) == 0
    return root / name


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A perfect run, and one that misses the car of the second frame."""
    root = tmp_path_factory.mktemp("compare")

    def miss(image, number):
        image[image == (26000 if number == 1 else 1)] = 7
        return image

    truth = write(root / "truth")
    good = run(root, "good", write(root / "same"), truth)
    return good, run(root, "bad", write(root / "missed", miss), truth)


def compare(runs, out, *words):
    code = main(["evaluate", "compare", *map(str, runs), "--out", str(out), *words])
    path = out / "comparison.json"
    return code, json.loads(path.read_text()) if path.is_file() else None


def test_differences_are_given_with_paired_intervals(runs, tmp_path, capsys):
    code, found = compare(runs, tmp_path)
    (entry,) = found["runs"]
    car = entry["per_class"]["26"]
    assert (code, entry["frames"], entry["only_here"]) == (0, FRAMES, 0)
    # 5 of 6 cars found: PQ = 5 / (5 + 1 / 2).
    assert car["pq"]["difference"] == pytest.approx(5 / 5.5 - 1)
    low, high = car["pq"]["interval"]
    assert low < car["pq"]["difference"] < high <= 0
    assert entry["per_class"]["23"]["pq"]["interval"] == [0, 0]
    assert [row["name"] for row in entry["worst"]] == ["f1"]
    out = capsys.readouterr().out
    assert "bad against good: 6 frames of both" in out
    assert out.index("PQ car") < out.index("PQ sky")
    page = (tmp_path / "comparison.html").read_text()
    assert page.count("<img") == 1
    assert "camera, truth, errors of the baseline, errors of the run" in page


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (["pq=-0.5"], 3),
        (["pq=-50"], 0),
        (["pq.car=-5", "miou=-50"], 3),
        (["pq.sky=0"], 0),
        (["pq.tram=0"], 2),
        (["quality=0"], 2),
        (["pq.bus=0"], 2),
    ],
)
def test_limits_end_with_an_exit_code(limits, code, runs, tmp_path, capsys):
    assert compare(runs, tmp_path, "--fail-below", *limits)[0] == code
    streams = capsys.readouterr()
    assert ("below the limit: bad: pq" in streams.out) == (code == 3)
    assert ("panoptic: error" in streams.err) == (code == 2)


def test_two_limits_of_a_metric_are_refused(runs, tmp_path, capsys):
    words = [str(run) for run in runs]
    assert main(["evaluate", "compare", *words, "--fail-below", "pq=5", "pq=-9"]) == 2
    assert "two limits of one metric" in capsys.readouterr().err


def test_a_run_against_itself_is_no_difference(runs, tmp_path):
    _, found = compare([runs[1], runs[1]], tmp_path)
    assert found["runs"][0]["pq"]["difference"] == 0
    assert found["runs"][0]["worst"] == []


def test_frames_of_one_run_alone_are_left_out_and_told(runs, tmp_path, capsys):
    truth = write(tmp_path / "truth", frames=3)
    short = run(tmp_path, "short", truth, truth)
    _, found = compare([runs[0], short], tmp_path / "out")
    assert (found["runs"][0]["frames"], found["runs"][0]["only_there"]) == (3, 3)
    assert "3 frames of the baseline alone are left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "results.json is missing; a run is a folder"),
        ("{}", "'frames' is missing"),
        ('{"frames": [], "classes": [], "fusion": {}}', "it has no frame"),
        ('{"frames": 3}', "results.json: "),
        (
            '{"frames": [], "classes": [{"id": "7", "name": "road"}]}',
            "class '7', 'road': no number",
        ),
        ("x", "cannot be read as JSON"),
    ],
)
def test_what_is_no_run_is_named(content, words, runs, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    if content is not None:
        (other / "results.json").write_text(content)
    assert compare([runs[0], other], tmp_path)[0] == 2
    err = capsys.readouterr().err
    assert str(other) in err
    assert words in err


def test_other_classes_cannot_be_compared(runs, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    content = json.loads((runs[0] / "results.json").read_text())
    content["classes"][0]["name"] = "street"
    (other / "results.json").write_text(json.dumps(content))
    assert compare([runs[0], other], tmp_path)[0] == 2
    assert "has other classes than" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["pq", "=-1", "pq=x", "pq=nan"])
def test_a_limit_must_be_a_number(text, runs, tmp_path):
    with pytest.raises(SystemExit):
        compare(runs, tmp_path, "--fail-below", text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.update(name=["f0"]), "a frame's name is ['f0'], no text"),
        (lambda f: f["pq"].update(prediction="x"), "frame f0: its pq is 'x', no number"),
        (
            lambda f: f["classes"]["prediction"].update({"99": [1] * 6}),
            "frame f0: class 99 has the",
        ),
        (
            lambda f: f["classes"]["prediction"].update({"26": [None] * 6}),
            "frame f0: class 26 has the",
        ),
        *(
            (
                lambda f, value=value: f["classes"]["prediction"].update({"26": [value] * 6}),
                "frame f0: class 26 has the",
            )
            for value in (-1, 10**400, math.inf)
        ),
        (lambda f: f["pq"].update(prediction=-1), "frame f0: its pq is '-1', no number"),
        (lambda f: f.update(name="f1"), "frame f1 is there twice"),
        (lambda f: f["classes"]["prediction"].update({"26": None}), "has no len"),
        (lambda f: f.update(classes=None), "not subscriptable"),
    ],
)
def test_a_value_that_no_run_has_is_named(change, words, runs, tmp_path, capsys):
    content = json.loads((runs[0] / "results.json").read_text())
    change(content["frames"][0])
    text = json.dumps(content).replace("Infinity", "1e999")
    (tmp_path / "results.json").write_text(text)
    assert compare([runs[1], tmp_path], tmp_path / "out")[0] == 2
    err = capsys.readouterr().err
    assert f"{tmp_path / 'results.json'}: " in err
    assert words in err


def test_runs_of_one_name_keep_their_own_names_and_pictures(runs, tmp_path):
    for place in ("a", "b"):
        shutil.copytree(runs[1], tmp_path / place / "run")
    others = [tmp_path / place / "run" for place in ("a", "b")]
    code, found = compare((runs[0], *others), tmp_path / "out")
    assert (code, [entry["name"] for entry in found["runs"]]) == (0, ["a/run", "b/run"])
    assert len(list((tmp_path / "out/worst").iterdir())) == 2


def test_a_run_may_be_named_by_its_file(runs, tmp_path):
    _, by_folder = compare(runs, tmp_path / "folders")
    _, by_file = compare([run / "results.json" for run in runs], tmp_path / "files")
    assert by_file == by_folder
    (picture,) = (tmp_path / "files/worst").iterdir()
    assert picture.read_bytes() == (tmp_path / "folders/worst" / picture.name).read_bytes()


def test_one_run_has_no_strategy_to_choose(runs, tmp_path, capsys):
    assert compare(runs[:1], tmp_path, "--fusion", "stack")[0] == 2
    assert f"--fusion stack: {runs[0]} is compared with itself" in capsys.readouterr().err
