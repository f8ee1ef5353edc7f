import pytest

from panoptic_ros.__main__ import main


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "1e-320", "1001", "fast"])
def test_a_rate_that_cannot_be_played_is_refused(tmp_path, capsys, rate):
    with pytest.raises(SystemExit) as ended:
        main(["replay", "bag", "--live", "--rate", rate, "--out", str(tmp_path)])
    assert ended.value.code == 2
    said = "is no number" if rate == "fast" else "is not between 0.001 and 1000"
    assert f"argument --rate: {rate} {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--rate", "1"], "--rate is how fast --live plays"), (["--live", "--keep"], "for --keep to")],
)
def test_an_option_that_would_do_nothing_is_refused(tmp_path, capsys, options, words):
    with pytest.raises(SystemExit) as ended:
        main(["replay", "bag", *options, "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
