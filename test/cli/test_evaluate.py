import json

import cv2
import numpy as np
import pytest
from model_file import write_untrained

from panoptic_ros.__main__ import main
from panoptic_ros.labels import class_ids


def write_files(folder, name, ids):
    """Write one COCO-panoptic image, "frame", with a car of id 1; return the arguments for it."""
    (folder / name).mkdir()
    colors = np.zeros((*ids.shape, 3), np.uint8)
    colors[..., 2] = ids
    cv2.imwrite(str(folder / name / "frame.png"), colors)
    infos = [{"id": 1, "category_id": 26, "iscrowd": 0, "area": int((ids == 1).sum())}]
    annotation = {"image_id": "frame", "file_name": "frame.png", "segments_info": infos}
    categories = [{"id": 7, "name": "road", "isthing": 0}, {"id": 26, "name": "car", "isthing": 1}]
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"annotations": [annotation], "categories": categories}))
    return [f"--{name}", str(path), f"--{name}-dir", str(folder / name)]


@pytest.fixture
def files(tmp_path):
    """Write a car of 8 pixels and a prediction of 6 of them."""
    truth, prediction = np.zeros((2, 4, 4), np.uint8)
    truth[:2], prediction[:2, :3] = 1, 1
    return [
        *write_files(tmp_path, "truth", truth),
        *write_files(tmp_path, "prediction", prediction),
        "--json",
        str(tmp_path / "new" / "out.json"),
    ]


def test_files_gives_fractions(files, tmp_path, capsys):
    assert main(["evaluate", "files", *files]) == 0
    found = {"pq": 0.75, "sq": 0.75, "rq": 1.0}
    nothing = {"pq": 0.0, "sq": 0.0, "rq": 0.0}
    assert json.loads((tmp_path / "new" / "out.json").read_text()) == {
        "all": {**found, "n": 1},
        "things": {**found, "n": 1},
        "stuff": {**nothing, "n": 0},
        "per_class": {
            "7": {**nothing, "iou": 0.0, "tp": 0, "fp": 0, "fn": 0},
            "26": {**found, "iou": 0.75, "tp": 1, "fp": 0, "fn": 0},
        },
    }
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["car", "75.0", "75.0", "100.0", "1", "0", "0"] in rows
    assert ["things", "75.0", "75.0", "100.0", "1"] in rows


def test_files_names_a_missing_prediction(files, tmp_path, capsys):
    (tmp_path / "prediction.json").write_text('{"annotations": []}')
    assert main(["evaluate", "files", *files]) == 0
    assert "no prediction for image frame: counted as empty" in capsys.readouterr().err
    assert json.loads((tmp_path / "new" / "out.json").read_text())["per_class"]["26"]["fn"] == 1


def test_files_names_and_counts_broken_ones(files, tmp_path, capsys):
    broken = tmp_path / "prediction" / "frame.png"
    broken.write_bytes(b"no picture")
    assert main(["evaluate", "files", *files]) == 1
    err = capsys.readouterr().err
    assert f"broken: {broken}: cannot be decoded" in err
    assert "1 broken files" in err


def test_files_without_truth_says_so(files, tmp_path, capsys):
    (tmp_path / "truth.json").unlink()
    assert main(["evaluate", "files", *files]) == 2
    assert str(tmp_path / "truth.json") in capsys.readouterr().err


def test_files_without_an_image_in_common_writes_null_and_fails(files, tmp_path, capsys):
    path = tmp_path / "prediction.json"
    path.write_text(path.read_text().replace('"image_id": "frame"', '"image_id": 7'))
    assert main(["evaluate", "files", *files]) == 2
    assert "nothing could be scored: no image id of" in capsys.readouterr().err
    results = json.loads((tmp_path / "new" / "out.json").read_text())
    assert results["all"]["pq"] is results["per_class"]["26"]["sq"] is None


def test_files_takes_folders_and_writes_a_report(tmp_path, capsys):
    labels = np.full((16, 24), 7, np.uint16)
    labels[4:12, 4:12] = 26000
    for side, pixels in (("truth", labels), ("found", np.roll(labels, 2, axis=1))):
        (tmp_path / side).mkdir()
        cv2.imwrite(str(tmp_path / side / "a_gtFine_instanceIds.png"), pixels)
        cv2.imwrite(str(tmp_path / side / "b_gtFine_instanceIds.png"), labels)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.jpg"), np.zeros((16, 24, 3), np.uint8))
    (tmp_path / "images" / "b.jpg").mkdir()
    words = ["--truth", tmp_path / "truth", "--prediction", tmp_path / "found"]
    words += ["--out", tmp_path / "out", "--images", tmp_path / "images"]
    assert main(["evaluate", "files", *map(str, words)]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    own = {frame["name"]: frame["pq"]["prediction"] for frame in results["frames"]}
    assert own["b"] == 1.0
    assert own["a"] == pytest.approx((48 / 80 + (320 - 16) / (320 + 16)) / 2)
    counts = {f["name"]: f["classes"]["prediction"]["26"] for f in results["frames"]}
    assert counts == {"a": [0.6, 1, 0, 0, 48, 80], "b": [1.0, 1, 0, 0, 64, 64]}
    miou = (112 / 144 + (640 - 16) / (640 + 16)) / 2
    assert results["fusion"]["prediction"]["semantic"]["miou"] == pytest.approx(miou)
    out = capsys.readouterr().out
    assert f"mIoU, %: {100 * miou:.1f}" in out
    assert "boundary PQ" not in out
    dagger = ((0.6 + 1) / 2 + (304 / 336 + 1) / 2) / 2
    assert results["fusion"]["prediction"]["pq_dagger"]["all"] == pytest.approx(dagger)
    assert main(["evaluate", "files", *map(str, words), "--boundary"]) == 0
    assert "boundary PQ" in capsys.readouterr().out
    assert main(["evaluate", "files", *map(str, words), "--export", "coco", "kitti"]) == 0
    content = json.loads((tmp_path / "out/exports/coco/prediction.json").read_text())
    found = {a["image_id"]: a["segments_info"] for a in content["annotations"]}
    assert [(s["category_id"], s["area"]) for s in found["b"]] == [(149, 320), (3, 64)]
    assert (tmp_path / "out/exports/kitti/prediction/pred_list/a.txt").is_file()
    # The first screen's, and two frames of four.
    assert (tmp_path / "out" / "report.html").read_text().count("<img") == 9


def test_files_finds_the_pictures_of_frames_whose_folders_tell_them_apart(tmp_path):
    for i, sequence in enumerate(("0001", "0002")):
        for side in ("truth", "found", "images"):
            (tmp_path / side / sequence).mkdir(parents=True)
        for side in ("truth", "found"):
            cv2.imwrite(str(tmp_path / side / sequence / "0.png"), np.full((16, 24), 7, np.uint16))
        picture = np.full((16, 24, 3), 50 + 100 * i, np.uint8)
        cv2.imwrite(str(tmp_path / "images" / sequence / "0.png"), picture)
    words = ["--truth", tmp_path / "truth", "--prediction", tmp_path / "found"]
    words += ["--out", tmp_path / "out", "--images", tmp_path / "images"]
    assert main(["evaluate", "files", *map(str, words)]) == 0
    for i, sequence in enumerate(("0001", "0002")):
        shown = cv2.imread(str(tmp_path / "out" / "pictures" / sequence / "0" / "camera.jpg"))
        assert abs(shown.astype(int) - 50 - 100 * i).max() <= 2


@pytest.mark.parametrize("side", ["truth", "prediction"])
def test_files_does_not_overwrite_what_it_scores(files, side, tmp_path, capsys):
    content = (tmp_path / f"{side}.json").read_bytes()
    assert main(["evaluate", "files", *files, "--json", str(tmp_path / f"{side}.json")]) == 2
    assert f"is the --{side} itself" in capsys.readouterr().err
    assert (tmp_path / f"{side}.json").read_bytes() == content
    (tmp_path / f"{side}.json").rename(tmp_path / "results.json")
    moved = [text.replace(f"{side}.json", "results.json") for text in files]
    assert main(["evaluate", "files", *moved, "--out", str(tmp_path)]) == 2
    assert f"would overwrite the --{side} {tmp_path / 'results.json'}" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_bytes() == content


def test_files_writes_no_pictures_among_labels(tmp_path, capsys):
    for name in ("truth", "found"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "frame.png"), np.full((8, 8), 7, np.uint8))
    out = tmp_path / "found" / "report"
    sides = ["--truth", str(tmp_path / "truth"), "--prediction", str(tmp_path / "found")]
    assert main(["evaluate", "files", *sides, "--out", str(out)]) == 2
    assert f"lies in the --prediction {tmp_path / 'found'}" in capsys.readouterr().err
    assert not out.exists()


def test_files_exports_into_a_folder_only(files, capsys):
    assert main(["evaluate", "files", *files, "--export", "kitti"]) == 2
    assert "--export writes below --out" in capsys.readouterr().err


def write_held_out(root):
    rng = np.random.default_rng(0)
    labels = np.full((64, 96), 7, np.uint16)
    labels[20:50, 30:60] = 26000
    for name in ("town_900000_000000", "town_900000_000040"):
        for path, image in (
            (f"leftImg8bit/val/town/{name}_leftImg8bit.png", rng.integers(0, 256, (64, 96, 3))),
            (f"gtFine/val/town/{name}_gtFine_instanceIds.png", labels),
            (f"gtFine/val/town/{name}_gtFine_labelIds.png", np.uint8(class_ids(labels))),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / path), image)


def heads(tmp_path, *words):
    out = tmp_path / "out.json"
    model = write_untrained(tmp_path / "small.yaml")
    options = ["--device", "cpu", "--data", str(tmp_path), "--limit", "2", "--weights", str(model)]
    return main(["evaluate", "heads", *options, "--json", str(out), *words]), out


def test_heads_runs_the_networks_and_writes_percentages(tmp_path, capsys):
    write_held_out(tmp_path)
    code, out = heads(tmp_path)
    assert code == 0
    results = json.loads(out.read_text())
    assert list(results) == ["classes", "mean", "pq", "miou"]
    assert list(results["classes"]) == [
        "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ]  # fmt: skip
    assert 0 <= results["miou"] <= 100
    # An untrained head is the identity.
    assert results["pq"]["head"] == pytest.approx(results["pq"]["heuristic"])
    assert f"semantic mIoU, %: {results['miou']:.1f}" in capsys.readouterr().out


def test_heads_names_broken_frames(tmp_path, capsys):
    write_held_out(tmp_path)
    broken = tmp_path / "leftImg8bit/val/town/town_900000_000000_leftImg8bit.png"
    broken.write_bytes(b"no picture")
    assert heads(tmp_path)[0] == 1
    assert f"broken: {broken}" in capsys.readouterr().err


def test_heads_says_what_is_missing_to_render(tmp_path, capsys, no_egl):
    assert heads(tmp_path)[0] == 2
    assert "no libegl1" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "-3"])
def test_limit_must_be_positive(limit, tmp_path):
    with pytest.raises(SystemExit):
        heads(tmp_path, f"--limit={limit}")
