"""The script's two steps, with a Python that only notes what it is asked for."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/bash
echo "$*" >> "$CALLS"
[[ "$*" != *"$HANGS"* ]] || sleep 60
[[ "$*" != *"$FAILS"* ]] || exit "$CODE"
"""


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
def test_its_exit_code_says_what_failed(script, tmp_path, fails, code, expected):
    assert script(fails, code)[0] == expected
    # This Python writes nothing.
    report = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert "before it could begin" in report["failures"]["run.py"]


def test_tests_that_hang_leave_the_benches_their_time(script):
    code, (_, benches) = script(hangs="-m pytest", budget=1)
    assert code == 1
    assert "--until" in benches


BENCHES = {
    "works": "yield RESULT",
    "raises": "yield RESULT\n    raise ValueError('no such card')",
    "hangs": "yield RESULT\n    time.sleep(60)",
    "dies": "os._exit(3)\n    yield",
}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Return a function that runs some of BENCHES by run.py; it gives exit code, JSON and table."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = importlib.util.spec_from_file_location("bench_runner", ROOT / "benchmarks" / "run.py")
    runner = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_runner", runner)
    spec.loader.exec_module(runner)
    monkeypatch.setattr(runner, "_FOLDER", tmp_path)
    head = "import os, time\nfrom results import Result\n"
    head += "RESULT = Result(__name__, 2.0, 'ms', None, False, {}, 'a test')\n"
    for name, body in BENCHES.items():
        (tmp_path / f"bench_{name}.py").write_text(f"{head}def run(device):\n    {body}\n")

    def run(*options):
        command = ["run.py", "--device", "cpu", "--out", str(tmp_path), "--name", "gpu"]
        monkeypatch.setattr(sys, "argv", [*command, *options])
        code = runner.main()
        return code, json.loads((tmp_path / "gpu.json").read_text()), tmp_path / "gpu.md"

    return run


def test_what_fails_is_named_beside_what_was_measured(bench):
    code, report, page = bench("--only", "works", "raises", "dies")
    assert code == 1
    assert [r["name"] for r in report["results"]] == ["bench_works", "bench_raises"]
    assert report["failures"] == {
        "raises": "ValueError: no such card",
        "dies": "it ended without a word",
    }
    for name, why in report["failures"].items():
        assert f"{name} did not give all of its figures: {why}" in page.read_text()


def test_what_takes_too_long_is_ended_and_named(bench):
    code, report, _ = bench("--only", "hangs", "--until", str(time.time() + 1))
    assert code == 1
    assert report["failures"]["hangs"].startswith("it was ended after")


def test_the_tests_are_counted_and_what_is_left_out_is_named(bench, tmp_path):
    xml = tmp_path / "tests.xml"
    xml.write_text(
        '<testsuites><testsuite tests="3" failures="1" errors="0" skipped="2"/></testsuites>'
    )
    code, report, page = bench("--only", "works", "--until", "0", "--tests", str(xml))
    assert code == 1
    assert report["tests"] == {"tests": 3, "failures": 1, "errors": 0, "skipped": 2}
    assert report["failures"] == {"works": "left out: the time was over"}
    assert "1 failures" in page.read_text()
    xml.unlink()
    code, report, page = bench("--only", "works", "--tests", str(xml))
    assert code == 0
    assert "GPU tests: no report" in page.read_text()
