"""The script's parts, with a Python that only notes what it is asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/bash
echo "$*" >> "$CALLS"
[[ "$*" != *"$HANGS"* ]] || sleep 60
[[ "$*" != *"$FAILS"* ]] || exit "$CODE"
"""
PARTS = ["networks", "roofline", "fusion", "head", "engines"]


@pytest.fixture
def script(tmp_path):
    """Return a function that runs the script; it gives the exit code and the calls."""
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def run(fails="nothing", code=1, hangs="nothing", budget=60):
        calls = tmp_path / "calls"
        calls.write_text("")
        more = {"PYTHON": str(python), "CALLS": str(calls), "FAILS": fails, "CODE": str(code)}
        more |= {"HANGS": hangs, "BUDGET": str(budget)}
        done = subprocess.run(
            [ROOT / "benchmarks" / "gpu.sh"],
            env={**os.environ, **more, "DEVICE": "cpu", "OUT": str(tmp_path / "out")},
            check=False,
        )
        return done.returncode, calls.read_text().splitlines()

    return run


def test_it_runs_the_gpu_tests_without_ros_and_then_the_benches(script, tmp_path):
    code, (tests, *benches) = script()
    assert code == 0
    assert "-m gpu" in tests
    assert "test/test_pipeline.py" in tests
    assert "test/ros/" not in tests
    assert [part.partition("--only ")[2] for part in benches] == PARTS
    assert all(f"--device cpu --name gpu --add --tests {tmp_path}/out" in part for part in benches)


@pytest.mark.parametrize(
    ("fails", "code", "expected"),
    [("-m pytest", 1, 1), ("-m pytest", 5, 0), ("run.py", 1, 1)],
    ids=["a test fails", "no test is marked", "a bench fails"],
)
def test_its_exit_code_says_that_something_failed(script, fails, code, expected):
    found, calls = script(fails, code)
    assert found == expected
    # What comes after goes on.
    assert calls[-1].endswith("--only engines")


def test_a_part_that_hangs_costs_no_more_than_its_share(script):
    code, (_, *benches) = script(hangs="--only roofline", budget=6)
    assert code == 1
    assert [part.partition("--only ")[2] for part in benches] == PARTS


def test_what_has_not_begun_when_the_time_is_over_is_named(script):
    code, (_, *benches) = script(hangs="-m pytest", budget=1)
    assert code == 1
    assert [part.partition("--only ")[2] for part in benches] == [
        " ".join([*PARTS, "--seconds -1"])
    ]


def test_figures_tests_and_what_is_left_out_are_in_both_files(tmp_path):
    xml = tmp_path / "tests.xml"
    xml.write_text(
        '<testsuites><testsuite tests="3" failures="1" errors="0" skipped="2"/></testsuites>'
    )
    command = [ROOT / "benchmarks" / "run.py", "--device", "cpu", "--only", "fusion"]
    options = ["--name", "gpu", "--seconds", "-1", "--tests", xml, "--out", tmp_path, "--add"]
    earlier = {
        **{"name": "head", "value": 2.0, "unit": "ms", "goal": None, "higher_is_better": False},
        **{"milliseconds": {}, "about": "earlier", "meets_goal": True},
    }
    failures = {"engines": "it was ended before it was done"}
    (tmp_path / "gpu.json").write_text(json.dumps({"results": [earlier], "failures": failures}))
    done = subprocess.run(
        [sys.executable, *command, *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["tests"] == {"tests": 3, "failures": 1, "errors": 0, "skipped": 2}
    assert report["results"] == [earlier]
    assert "left out" in report["failures"]["fusion"]
    page = (tmp_path / "gpu.md").read_text()
    assert "1 failures" in page
    assert "| head | 2.0 ms |" in page
    for name, why in {**failures, "fusion": "left out: the time was over"}.items():
        assert f"{name} did not give all of its figures: {why}" in page
