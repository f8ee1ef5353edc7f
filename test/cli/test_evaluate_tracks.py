import json

import pytest
from model_file import write_untrained

from panoptic_ros.__main__ import main


def tracks(tmp_path, *words):
    out = tmp_path / "new" / "out.json"
    model = write_untrained(tmp_path / "small.yaml")
    options = ["--device", "cpu", "--data", str(tmp_path), "--limit", "2", "--weights", str(model)]
    return main(["evaluate", "tracks", *options, "--json", str(out), *words]), out


def test_scores_are_printed_and_written(tmp_path, capsys, no_egl):
    code, out = tracks(tmp_path, "--report", str(tmp_path / "report"))
    assert code == 0
    results = json.loads(out.read_text())
    for kind in ("true_labels", "predicted"):
        assert {"hota", "idf1", "switches"} <= set(results[kind])
    assert 80 <= results["true_labels"]["hota"] <= 100
    printed = capsys.readouterr()
    assert f"{results['true_labels']['hota']:.1f}" in printed.out
    assert "only the drive in sample/ is scored" in printed.err
    assert "no libegl1" in printed.err
    assert (tmp_path / "report" / "tracks.html").is_file()


def test_unknown_weights_are_an_error(tmp_path, capsys):
    assert tracks(tmp_path, "--weights", "nowhere")[0] != 0
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "x"])
def test_limit_must_be_positive(limit, tmp_path):
    with pytest.raises(SystemExit):
        tracks(tmp_path, f"--limit={limit}")
