import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from coco_example import Side, assert_same, official_results
from painted_model import paint
from painted_model import write_model as write_painted_model
from street_files import SIZE, write_cityscapes, write_frame, write_model

from panoptic_ros.evaluation.dataset_run import DatasetRun, RunOptions
from panoptic_ros.evaluation.report.pictures import extremes
from panoptic_ros.labels import CITYSCAPES

FRAMES = 3


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_cityscapes(folder / "data", FRAMES)
    model = str(write_model(folder))
    return RunOptions(
        "cityscapes", folder / "data", folder / "out", weights=model, device="cpu", predictions=True
    )


@pytest.fixture(scope="module")
def outcome(options):
    return DatasetRun(options)()


def test_results_hold_both_strategies_and_are_written(options, outcome):
    results = outcome.results
    assert json.loads((options.out / "results.json").read_text()) == results
    assert list(results["fusion"]) == ["stack", "conv_head"]
    assert (results["dataset"]["frames"], results["dataset"]["broken"]) == (FRAMES, [])
    # An untrained head is the identity.
    for key in ("panoptic", "semantic", "ap"):
        assert results["fusion"]["conv_head"][key] == results["fusion"]["stack"][key]


def test_all_strategies_are_scored_on_the_same_predictions(options, outcome, tmp_path):
    run = replace(options, out=tmp_path, fusion=("all",), limit=2, predictions=False)
    results = DatasetRun(run)().results
    assert list(results["fusion"]) == ["stack", "conv_head", "panoptic_fpn", "upsnet", "degeus"]
    assert all(f["panoptic"]["all"]["n"] > 0 for f in results["fusion"].values())
    # What no network's answer was asked for has no masks of its own before the merge.
    assert results["fusion"]["upsnet"]["instance_iou"] is None


@pytest.mark.parametrize("fusion", ["stack", "conv_head"])
def test_the_official_script_agrees_on_the_predictions(options, outcome, fusion):
    folder = options.out / "predictions"
    truth, found = (Side(folder / f"{n}.json", folder / n) for n in ("truth", fusion))
    official = official_results(truth, found)
    quality = outcome.results["fusion"][fusion]["panoptic"]
    per_class = {int(class_id): scores for class_id, scores in quality["per_class"].items()}
    assert_same({**quality, "per_class": per_class}, official)
    assert quality["all"]["n"] > 2


def test_the_predictions_fit_the_truth_that_cityscapes_own_script_makes(options, outcome, tmp_path):
    convert2panoptic(str(options.data / "gtFine"), str(tmp_path), setNames=["val"])
    truth = tmp_path / "cityscapes_panoptic_val.json"
    found = options.out / "predictions" / "stack.json"
    official = official_results(
        Side(truth, truth.with_suffix("")), Side(found, found.with_suffix(""))
    )
    quality = outcome.results["fusion"]["stack"]["panoptic"]
    for group in ("all", "things", "stuff"):
        assert quality[group] == pytest.approx(official[group], abs=1e-9)


def test_where_there_is_depth_things_are_scored_by_distance(options, tmp_path):
    names = write_cityscapes(tmp_path / "data", 2)
    depth = tmp_path / "data" / "depth" / "val" / "aachen"
    depth.mkdir(parents=True)
    # Of the second frame it is missing.
    cv2.imwrite(str(depth / f"{names[0]}_depth.png"), np.full(SIZE, 30 * 256, np.uint16))
    run = replace(options, dataset="town", data=tmp_path / "data", out=tmp_path / "out")
    results = DatasetRun(replace(run, fusion=("stack",), predictions=False))().results
    found = results["fusion"]["stack"]["by_distance"]
    assert [name for name, things in found.items() if things["n"]] == ["25-50 m"]
    cv2.imwrite(str(depth / f"{names[1]}_depth.png"), np.zeros((3, 4), np.uint16))
    broken = DatasetRun(replace(run, out=tmp_path / "other", predictions=False))().broken
    assert len(broken) == 1
    assert f"{names[1]}: its depth is [3, 4]" in broken[0]


def test_only_named_frames_are_scored_in_their_order(options, tmp_path):
    names = ("aachen_000000_000002", "aachen_000000_000000")
    run = replace(options, out=tmp_path, names=names, fusion=("stack",), predictions=False)
    assert [f["name"] for f in DatasetRun(run)().results["frames"]] == list(names)


def test_an_unknown_strategy_is_refused_before_a_frame_is_read(options, tmp_path):
    with pytest.raises(ValueError, match="unknown fusion 'median'"):
        DatasetRun(replace(options, out=tmp_path / "out", fusion=("stack", "median")))
    assert not (tmp_path / "out").exists()


def test_frames_are_recorded_for_rerun(options, tmp_path):
    pytest.importorskip("rerun", reason="needs the extra `rerun`, of Python 3.11 or later")
    from recorded import logged, rows
    from rerun.chunk import RrdReader

    from panoptic_ros.rerun_log import RerunLog

    run = replace(options, out=tmp_path, limit=2, predictions=False)
    with RerunLog(tmp_path / "run.rrd", "run", CITYSCAPES) as log:
        results = DatasetRun(run)(log=log).results
    entities = logged(RrdReader(tmp_path / "run.rrd").stream())
    quality = {
        i: [pytest.approx(100 * frame["pq"]["conv_head"])]
        for i, frame in enumerate(results["frames"])
    }
    assert rows(entities["/pq"], "Scalars:scalars") == quality
    taken = rows(entities[r"/latency/fusion\ stack"], "Scalars:scalars")
    assert taken[1] == [results["frames"][1]["milliseconds"]["fusion stack"]]
    camera = "/world/vehicle/camera"
    for kind in ("labels", "truth"):
        pixels = rows(entities[f"{camera}/{kind}"], "SegmentationImage:buffer")
        assert np.array(pixels[0][0], np.uint8).view(np.uint16).max() <= 33


def test_every_stage_of_every_frame_is_timed(outcome):
    timing, frames = outcome.results["timing"], outcome.results["frames"]
    stages = ["read", "upload", "semantic", "instances", "fusion stack", "fusion conv_head"]
    assert list(timing["stages"]) == stages
    assert all(list(f["milliseconds"]) == stages for f in frames)
    totals = [f["total"]["stack"] for f in frames]
    measured = timing["end_to_end"]["stack"]
    assert measured["p50"] == pytest.approx(np.median(totals))
    assert measured["mean"] == pytest.approx(np.mean(totals))
    assert measured["min"] <= measured["p50"] <= measured["p95"] <= measured["max"]
    assert totals[0] == pytest.approx(sum(frames[0]["milliseconds"][s] for s in stages[1:5]))
    assert timing["peak_memory_mib"]["host"] > 10
    assert timing["peak_memory_mib"]["device"] is None


def test_pictures_of_every_frame_are_written_while_it_is_scored(options, outcome):
    for frame in outcome.results["frames"]:
        kinds = ["camera", "truth"]
        for strategy in outcome.results["fusion"]:
            kinds += [strategy, f"{strategy} error"]
        assert sorted(frame["pictures"]) == sorted(kinds)
        for path in frame["pictures"].values():
            assert cv2.imread(str(options.out / path)).shape == (*SIZE, 3)


def test_the_same_again_computes_nothing_and_says_the_same(options, outcome, monkeypatch):
    def must_not_run(*_):
        raise AssertionError("a frame that was done is done again")

    monkeypatch.setattr(DatasetRun, "_record", must_not_run)
    again, before = DatasetRun(options)().results, outcome.results
    # The minute that it is now is of the run.
    assert {**again, "run": None} == {**before, "run": None}
    assert {**again["run"], "date": None} == {**before["run"], "date": None}


def test_frames_that_have_changed_are_scored_anew(options, tmp_path, capsys):
    write_cityscapes(tmp_path / "data", 2)
    run = replace(options, data=tmp_path / "data", out=tmp_path / "out", predictions=False)
    before = DatasetRun(run)().results["frames"]
    assert "have changed" not in capsys.readouterr().err
    (truth, *_) = sorted(tmp_path.glob("data/gtFine/val/*/*_instanceIds.png"))
    ids = np.full_like(cv2.imread(str(truth), cv2.IMREAD_UNCHANGED), 23)
    cv2.imwrite(str(truth), ids)
    cv2.imwrite(str(truth).replace("instanceIds", "labelIds"), ids.astype(np.uint8))
    after = DatasetRun(run)().results["frames"]
    assert "1 frames have changed since they were scored, and are scored anew (the first: " in (
        capsys.readouterr().err
    )
    assert after[0]["classes"] != before[0]["classes"]
    fresh = DatasetRun(replace(run, out=tmp_path / "fresh"))().results["frames"]
    assert [f["classes"] for f in after] == [f["classes"] for f in fresh]


def test_a_higher_limit_goes_on(options, outcome, tmp_path):
    first = replace(options, out=tmp_path, limit=1, fusion=("stack",), workers=0, predictions=False)
    assert DatasetRun(first)().results["dataset"]["frames"] == 1
    times = DatasetRun(first)().results["frames"][0]["milliseconds"]
    results = DatasetRun(replace(first, limit=None))().results
    assert results["frames"][0]["milliseconds"] == times
    assert results["fusion"]["stack"] == outcome.results["fusion"]["stack"]


def test_another_commands_state_is_refused(options, outcome):
    other = DatasetRun(replace(options, fusion=("stack",)))
    with pytest.raises(ValueError, match=r"fusion was \['stack', 'conv_head'\] and is \['stack'\]"):
        other()


def test_broken_frames_are_named_and_skipped_and_tried_again(options, tmp_path):
    names = write_cityscapes(tmp_path / "data", FRAMES)
    run = replace(options, data=tmp_path / "data", out=tmp_path / "out", fusion=("stack",))
    image = tmp_path / "data/leftImg8bit/val/aachen" / f"{names[0]}_leftImg8bit.png"
    labels = tmp_path / "data/gtFine/val/aachen" / f"{names[2]}_gtFine_instanceIds.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:200])
    cv2.imwrite(str(labels), np.zeros((5, 6), np.uint16))
    outcome = DatasetRun(run)()
    assert [f["name"] for f in outcome.results["frames"]] == [names[1]]
    first, second = outcome.broken
    assert str(image) in first
    assert f"{labels} is [5, 6] (rows, columns)" in second
    assert outcome.results["dataset"]["broken"] == outcome.broken
    entries = json.loads((tmp_path / "out/predictions/stack.json").read_text())["annotations"]
    assert [e["image_id"] for e in entries] == [names[1]]

    image.write_bytes(whole)
    again = DatasetRun(run)()
    assert [f["name"] for f in again.results["frames"]] == names[:2]
    assert len(again.broken) == 1


def test_nothing_but_broken_frames_gives_empty_results(options, tmp_path):
    (name,) = write_cityscapes(tmp_path / "data", 1)
    image = tmp_path / "data/leftImg8bit/val/aachen" / f"{name}_leftImg8bit.png"
    image.write_bytes(b"")
    outcome = DatasetRun(replace(options, data=tmp_path / "data", out=tmp_path / "out"))()
    assert outcome.results["fusion"]["stack"]["panoptic"]["all"]["n"] == 0
    assert outcome.results["semantic"]["miou"] is None
    assert outcome.results["timing"]["end_to_end"]["stack"] is None


def test_a_model_that_knows_what_it_sees_worked_out_on_paper(tmp_path):
    """The car found is 20 of the true 25 columns: IoU 0.8, seven of AP's ten thresholds."""
    road, car = CITYSCAPES.by_name["road"], CITYSCAPES.by_name["car"]
    picture = paint(SIZE, "road", ("car", slice(10, 30), slice(40, 65)))
    labels = np.full(SIZE, road.id, np.uint16)
    labels[10:30, 40:65] = car.id * 1000
    write_frame(tmp_path, "aachen_000000_000000", picture, labels)
    model = write_painted_model(tmp_path, SIZE, (40, 10, 60, 30))
    run = RunOptions("cityscapes", tmp_path, tmp_path / "out", weights=model, device="cpu")
    results = DatasetRun(run)().results

    assert list(results["fusion"]) == ["stack"]  # the model has no head
    found = results["fusion"]["stack"]
    assert found["panoptic"]["things"] == {"pq": 0.8, "sq": 0.8, "rq": 1.0, "n": 1}
    # The merge leaves the 100 pixels of car that no instance claims unlabeled.
    assert found["panoptic"]["stuff"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": 1}
    assert found["semantic"]["iou"][str(car.id)] == 0.8
    assert found["ap"]["ap"] == results["detector"]["ap"] == pytest.approx(0.7)
    assert found["instance_iou"]["mean"] == 0.8
    assert results["semantic"]["miou"] == 1.0
    assert results["frames"][0]["pq"] == {"stack": pytest.approx(0.9)}


@pytest.mark.parametrize(
    ("quality", "best", "worst"),
    [
        ({}, [], []),
        ({"a": 0.5}, ["a"], []),
        ({"a": 0.5, "b": None, "c": 0.7}, ["c"], ["a"]),
        ({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4, "e": 0.5}, ["e", "d"], ["a", "b"]),
    ],
)
def test_extremes(quality, best, worst, monkeypatch):
    monkeypatch.setattr("panoptic_ros.evaluation.report.pictures.SHOWN_FRAMES", 2)
    found = extremes(quality)
    assert found == (
        ("best", {n: quality[n] for n in best}),
        ("worst", {n: quality[n] for n in worst}),
    )
