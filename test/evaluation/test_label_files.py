import json
import re

import numpy as np
import pytest
from coco_example import segment, write_side
from PIL import Image

from panoptic_ros.datasets.coco_files import BrokenFile, read_colors, read_file
from panoptic_ros.datasets.panoptic_sources import open_source
from panoptic_ros.evaluation.file_results import FilePainter
from panoptic_ros.evaluation.label_files import score_files, score_sources
from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.overlaps import ids_of_colors

CAR = (np.ones((4, 4)), [segment(1, 26)])
IMAGES = {"a": CAR, "b": CAR}


@pytest.fixture
def sides(tmp_path):
    return write_side(tmp_path, "truth", IMAGES), write_side(tmp_path, "prediction", IMAGES)


def score(truth, prediction):
    found = score_files(truth.json, truth.folder, prediction.json, prediction.folder)
    car = found.quality.results()["per_class"][26]
    return found, [car["tp"], car["fp"], car["fn"]]


def edit(side, change):
    content = json.loads(side.json.read_text())
    change(content)
    side.json.write_text(json.dumps(content))


def test_whole_files(sides):
    found, counts = score(*sides)
    assert counts == [2, 0, 0]
    assert not found.missing + found.broken + found.unused


def test_a_missing_prediction_is_empty_and_named(sides):
    edit(sides[1], lambda content: content["annotations"].pop(0))
    found, counts = score(*sides)
    assert counts == [1, 0, 1]
    assert found.missing == ["a"]
    assert found.broken == []


def test_a_prediction_without_truth_is_named_and_not_counted(sides):
    edit(sides[0], lambda content: content["annotations"].pop(0))
    found, counts = score(*sides)
    assert counts == [1, 0, 0]
    assert found.unused == ["a"]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def test_a_broken_prediction_is_empty_and_named(sides):
    path = sides[1].folder / "b.png"
    truncate(path)
    found, counts = score(*sides)
    assert counts == [1, 0, 1]
    assert found.broken == [f"{path}: cannot be decoded; it is truncated or no image"]


def test_a_prediction_whose_png_is_not_there_is_broken(sides):
    path = sides[1].folder / "b.png"
    path.unlink()
    found, counts = score(*sides)
    assert counts == [1, 0, 1]
    assert found.broken == [f"{path}: No such file or directory"]


def test_an_image_whose_truth_is_broken_is_left_out(sides):
    path = sides[0].folder / "a.png"
    truncate(path)
    found, counts = score(*sides)
    assert counts == [1, 0, 0]
    assert [line.split(":")[0] for line in found.broken] == [str(path)]


@pytest.mark.parametrize(
    ("ids", "segments", "words"),
    [
        (np.full((4, 4), 9), [segment(1, 26)], r"ids that its segments_info does not list: \[9\]"),
        (np.zeros((4, 4)), [segment(1, 26)], r"no pixel of segment ids .* lists: \[1\]"),
        (np.ones((4, 4)), [segment(1, 99)], r"category ids that the truth does not have: \[99\]"),
        (np.ones((4, 5)), [segment(1, 26)], r"truth is \[4, 4, 3\] .* prediction \[4, 5, 3\]"),
    ],
)
def test_a_prediction_that_contradicts_itself_or_the_truth_is_broken(
    ids, segments, words, tmp_path
):
    truth = write_side(tmp_path, "truth", {"a": CAR})
    prediction = write_side(tmp_path, "prediction", {"a": (ids, segments)})
    found, counts = score(truth, prediction)
    assert counts == [0, 0, 1]
    (line,) = found.broken
    assert line.startswith(f"{prediction.folder / 'a.png'}: ")
    assert re.search(words, line)


def test_fields_that_a_truth_may_lack(sides):
    def strip(content):
        for annotation in content["annotations"]:
            for info in annotation["segments_info"]:
                del info["area"], info["iscrowd"]

    edit(sides[0], strip)
    assert score(*sides)[1] == [2, 0, 0]


def test_folders_and_categories_must_be_there(sides):
    truth, prediction = sides
    with pytest.raises(NotADirectoryError, match="nowhere"):
        score_files(truth.json, truth.folder / "nowhere", prediction.json, prediction.folder)
    edit(truth, lambda content: content.pop("categories"))
    for painter in (None, FilePainter(truth.folder, LabelSet("none", ()), None)):
        sources = open_source(truth.json), open_source(prediction.json)
        with pytest.raises(BrokenFile, match=f"{truth.json}: has no categories"):
            score_sources(*sources, paint=painter)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not a COCO-panoptic file"),
        ("[]", "not a COCO-panoptic file"),
        ("{}", "'annotations' is missing"),
        ('{"annotations": [{"image_id": 1, "file_name": "1.png"}]}', "'segments_info' is missing"),
        ('{"annotations": 3}', "not a COCO-panoptic file"),
        (
            '{"annotations": [], "categories": [{"id": 1, "name": null, "isthing": 1}]}',
            "name is None",
        ),
        (
            '{"annotations": [], "categories": [{"id": true, "isthing": 1}]}',
            "id is True, must be a w",
        ),
    ],
)
def test_json_that_is_no_annotation_file(content, words, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(BrokenFile, match=f"{path}: .*{words}"):
        read_file(path)


def test_a_category_may_be_named_by_what_is_no_unicode(sides):
    edit(sides[0], lambda content: content["categories"][0].update(name="\ud800"))
    assert read_file(sides[0].json).categories[0].name == "\\ud800"


def test_ids_are_read_from_three_or_four_channels(tmp_path):
    path = tmp_path / "x.png"
    for channels in (3, 4):
        Image.fromarray(np.array([[[1, 2, 3, 77][:channels]]], np.uint8)).save(path)
        assert ids_of_colors(read_colors(path)).tolist() == [[1 + 256 * 2 + 65536 * 3]]


@pytest.mark.parametrize("image", [np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint16)])
def test_a_grey_png_holds_no_ids(image, tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(image).save(path)
    with pytest.raises(BrokenFile, match=f"{path}: {image.dtype} 2x2; ids are stored as"):
        read_colors(path)


def test_an_empty_file_is_no_png(tmp_path):
    path = tmp_path / "x.png"
    path.touch()
    with pytest.raises(BrokenFile, match="truncated or no image"):
        read_colors(path)


def in_truth(content):
    return content["annotations"][0]["segments_info"]


@pytest.mark.parametrize(
    ("side", "change", "words"),
    [
        (0, lambda c: in_truth(c)[0].update(area=15), "1 segments whose area .*1 of image a"),
        (0, lambda c: in_truth(c).append(segment(9, 26)), "1 segments without a pixel.*9 of im"),
        (0, lambda c: in_truth(c).pop(), "1 ids of pixels that segments_info does not list"),
        (0, lambda c: in_truth(c)[0].update(category_id=77), "1 segments of a category that the"),
        (0, lambda c: in_truth(c).append(in_truth(c)[0]), "1 segment ids are listed more than on"),
        (0, lambda c: c["annotations"].append(c["annotations"][0]), "1 image ids .* each is .*'a'"),
        (1, lambda c: c["annotations"].append(c["annotations"][0]), "1 image ids .* the last is"),
        (0, lambda c: c["categories"].append(c["categories"][3]), "1 categories .* ids.*first: 26"),
        (0, lambda c: c["categories"][0].update(name="car"), "1 categories .* names .*'car'"),
    ],
)
def test_what_is_doubtful_is_one_warning_with_its_count(side, change, words, sides):
    edit(sides[side], change)
    (line,) = score(*sides)[0].warnings
    assert re.search(f"^{sides[side].json}: .*{words}", line)


def test_train_ids_in_a_prediction_are_told(sides):
    def renumber(content):
        for annotation in content["annotations"]:
            annotation["segments_info"][0]["category_id"] = 13

    edit(sides[1], renumber)
    found, _ = score(*sides)
    assert len(found.broken) == 2
    assert re.search("category ids look like train ids .*7..26", found.warnings[0])


def test_no_image_id_in_common_is_no_zero(sides):
    def rename(content):
        for i, annotation in enumerate(content["annotations"]):
            annotation["image_id"] = i

    edit(sides[1], rename)
    found, _ = score(*sides)
    assert re.search(r"no image id of .*prediction.json \(0, 1\) .*\('a', 'b'\)", found.unscorable)
    assert found.results()["all"] == {"pq": None, "sq": None, "rq": None, "n": 1}
    assert found.results()["per_class"][26]["pq"] is None


@pytest.mark.parametrize("segments", [[], [segment(1, 26, iscrowd=1)]])
def test_a_truth_of_void_or_groups_alone_is_no_zero(segments, tmp_path):
    ids = np.ones((4, 4)) if segments else np.zeros((4, 4))
    truth = write_side(tmp_path, "truth", {"a": (ids, segments)})
    prediction = write_side(tmp_path, "prediction", {"a": CAR})
    found, _ = score(truth, prediction)
    assert "holds no segment to score" in found.unscorable
    assert found.results()["all"]["pq"] is None
