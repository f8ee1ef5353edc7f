import json
from dataclasses import replace

import numpy as np
import pytest
import system_files
from street_files import SIZE, truth

from panoptic_ros.evaluation.dataset_run import DatasetRun
from panoptic_ros.evaluation.systems import (
    SYSTEMS,
    CompareOptions,
    SystemsRun,
    missing_weights,
    model_of,
)
from panoptic_ros.evaluation.systems_cost import parameters
from panoptic_ros.model.config import load_model_config

FRAMES = 3


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("systems")
    files = system_files.write(folder, FRAMES)
    return CompareOptions(folder / "data", folder / "out", tuple(files), "cityscapes", device="cpu")


@pytest.fixture(scope="module")
def outcome(options):
    return SystemsRun(options)()


def test_each_system_is_scored_with_its_own_merge_and_timed(options, outcome):
    results = outcome.results
    assert json.loads((options.out / "systems.json").read_text()) == results
    assert results["dataset"]["frames"] == FRAMES
    assert results["timed_frames"] == FRAMES
    systems = results["systems"]
    assert {name: entry["fusion"] for name, entry in systems.items()} == {
        "quick": "stack",
        "shared": "panoptic_fpn",
    }
    for name, entry in systems.items():
        own = json.loads((options.out / name / "results.json").read_text())
        panoptic = own["fusion"][entry["fusion"]]["panoptic"]
        assert entry["panoptic"] == {group: panoptic[group] for group in ("all", "things", "stuff")}
        assert entry["miou"] == own["semantic"]["miou"]
        assert entry["ap"] == own["detector"]["ap"]
        assert entry["milliseconds"]["p50"] > 0
    # Two backbones against one.
    assert systems["quick"]["parameters"] > systems["shared"]["parameters"] > 1e6
    assert systems["quick"]["gflops"] > 0


def test_what_runs_the_networks_changes_no_counts(options, outcome, monkeypatch):
    run = SystemsRun(replace(options, systems=options.systems[1:2]))
    monkeypatch.setattr(run, "_engines", {"shared": "onnx"})
    # Operations of another engine cannot be counted: the pipeline is built anew for torch.
    counted = run._counted("shared", object())
    assert parameters(counted) == outcome.results["systems"]["shared"]["parameters"]


def test_systems_without_weights_are_left_out_by_name(outcome):
    assert list(outcome.results["skipped"]) == ["absent"]
    assert outcome.results["skipped"]["absent"].endswith("/nowhere")


def test_the_frames_shown_are_the_same_for_all(outcome):
    assert [frame.name[-1] for frame in outcome.shown] == ["0", "1", "2"]
    for seed, frame in enumerate(outcome.shown):
        assert np.array_equal(frame.truth, truth(seed))
        assert {name: found.shape for name, found in frame.labels.items()} == {
            "quick": SIZE,
            "shared": SIZE,
        }


def test_the_same_command_goes_on(options, outcome, monkeypatch):
    def never(*_):
        raise AssertionError("scored again")

    monkeypatch.setattr(DatasetRun, "_record", never)
    again = SystemsRun(options)().results
    first, second = (
        {n: e["panoptic"] for n, e in r["systems"].items()} for r in (outcome.results, again)
    )
    assert first == second


def test_no_system_is_an_error_that_names_what_is_missing(options):
    with pytest.raises(
        FileNotFoundError, match=r"no system can run \(absent: no weights .*nowhere"
    ):
        SystemsRun(replace(options, systems=options.systems[2:]))


def test_a_name_twice_is_refused(options):
    with pytest.raises(ValueError, match="system 'quick' is there twice"):
        SystemsRun(replace(options, systems=(options.systems[0], options.systems[0])))


def test_a_name_that_is_none_is_told_with_the_names_there_are(options):
    with pytest.raises(FileNotFoundError, match=r"model 'upsnets'; known: .*upsnet"):
        SystemsRun(replace(options, systems=("upsnets",)))


def test_a_missing_layout_is_told_before_anything_runs(options, tmp_path):
    with pytest.raises(FileNotFoundError, match="leftImg8bit"):
        SystemsRun(replace(options, data=tmp_path))


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_systems_are_model_files(system):
    config = load_model_config(model_of(system))
    assert config.labels.name == "cityscapes"
    # What is trained by the user's command is found under the name that the file has for it.
    assert all(len(name.split("/")) == 2 for name in missing_weights(config))
