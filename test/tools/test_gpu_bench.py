"""The script's two steps, with a Python that only notes what it is asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/bash
echo "$*" >> "$CALLS"
[[ "$*" != *"$FAILS"* ]] || exit "$CODE"
"""


@pytest.fixture
def script(tmp_path):
    """Return a function that runs the script; it gives the exit code and the calls."""
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def run(fails="nothing fails", code=1):
        calls = tmp_path / "calls"
        calls.write_text("")
        more = {"PYTHON": str(python), "CALLS": str(calls), "FAILS": fails, "CODE": str(code)}
        done = subprocess.run(
            [ROOT / "benchmarks" / "gpu.sh"],
            env={**os.environ, **more, "DEVICE": "cpu", "OUT": str(tmp_path / "out")},
            check=False,
        )
        return done.returncode, calls.read_text().splitlines()

    return run


def test_it_runs_the_gpu_tests_without_ros_and_then_the_benches(script, tmp_path):
    code, (tests, benches) = script()
    assert code == 0
    assert "-m gpu" in tests
    assert "test/test_pipeline.py" in tests
    assert "test/ros/" not in tests
    assert "--device cpu" in benches
    assert f"--out {tmp_path}/out" in benches
    assert " ros" not in benches


@pytest.mark.parametrize(
    ("fails", "code", "expected"),
    [("-m pytest", 1, 1), ("-m pytest", 5, 0), ("run.py", 1, 1)],
    ids=["a test fails", "no test is marked", "a bench fails"],
)
def test_its_exit_code_says_what_failed(script, fails, code, expected):
    assert script(fails, code)[0] == expected


def test_figures_tests_and_what_is_left_out_are_in_both_files(tmp_path):
    xml = tmp_path / "tests.xml"
    xml.write_text(
        '<testsuites><testsuite tests="3" failures="1" errors="0" skipped="2"/></testsuites>'
    )
    command = [ROOT / "benchmarks" / "run.py", "--device", "cpu", "--only", "fusion"]
    options = ["--name", "gpu", "--seconds", "-1", "--tests", xml, "--out", tmp_path]
    done = subprocess.run(
        [sys.executable, *command, *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["tests"] == {"tests": 3, "failures": 1, "errors": 0, "skipped": 2}
    assert "left out" in report["failures"]["fusion"]
    page = (tmp_path / "gpu.md").read_text()
    assert "1 failures" in page
    assert "fusion gave no figure: left out" in page
