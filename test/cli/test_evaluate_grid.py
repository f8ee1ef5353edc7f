import json

import pytest
from model_file import write_untrained
from street_world import write_frame

from panoptic_ros.__main__ import main
from panoptic_ros.evaluation import held_out


def evaluate(tmp_path, *options):
    arguments = ["--data", str(tmp_path / "data"), "--device", "cpu"]
    model = write_untrained(tmp_path / "small.yaml")
    return main(["evaluate", "grid", *arguments, "--weights", str(model), *options])


def test_scores_are_printed_and_written(tmp_path, capsys, no_egl):
    for seed in held_out.DRIVE_SEEDS[:2]:
        for index in range(2):
            write_frame(tmp_path / "data", held_out.DRIVES_SPLIT, seed, index)
    out, report = tmp_path / "new" / "out.json", tmp_path / "report"
    assert evaluate(tmp_path, "--limit", "2", "--json", str(out), "--report", str(report)) == 0
    results = json.loads(out.read_text())
    scores = {"free_iou", "contact_error_m", "behind_free_rate"}
    assert scores <= set(results["true_labels"])
    assert scores <= set(results["predicted"])
    assert {"single_iou", "fused_iou"} <= set(results)
    assert results["true_labels"]["free_iou"] > 0.9
    assert results["frames"] == 4
    assert "true labels, odometry with 2 % drift" in capsys.readouterr().out
    assert "true labels, odometry with 2 % drift" in (report / "grid.html").read_text()


def test_what_is_missing_to_render_is_named(tmp_path, capsys, no_egl):
    assert evaluate(tmp_path) == 2
    assert "no libegl1" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_no_frames_are_refused(tmp_path, limit, capsys):
    with pytest.raises(SystemExit):
        evaluate(tmp_path, "--limit", limit)
    assert "is not at least 1" in capsys.readouterr().err
