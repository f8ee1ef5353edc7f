"""Whatever writes files names the one that a full disk does not take, and leaves no half one."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import full_disk
import pytest

from panoptic_ros.__main__ import main
from panoptic_ros.cli import demo

JOURNALS = ("frames.jsonl", "losses.csv")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return what each writer did, in one process with the limit."""
    folder = tmp_path_factory.mktemp("full")
    helpers = str(Path(full_disk.__file__).parent)
    paths = [helpers, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    done = subprocess.run(
        [sys.executable, "-m", "full_disk", folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("number", "name"), [*enumerate(full_disk.WRITERS.values())])
def test_a_full_disk_is_told_with_the_file_and_leaves_no_half_one(results, number, name):
    result = results[number]
    assert "cannot be written" in result["error"]
    assert Path(result["error"].split("'")[1]).name == name
    assert result["is_full"]
    # What grows line by line keeps its whole lines. TensorBoard reads a half record.
    left = [f for f in result["left"] if "tfevents" not in f]
    assert set(left) <= ({name} if name in JOURNALS else set())


@pytest.mark.parametrize("number", [2, 3])
def test_a_journal_keeps_its_whole_lines(results, number):
    ((_, size),) = ((n, s) for n, s in results[number]["left"].items() if n in JOURNALS)
    assert 0.9 * full_disk.LIMIT < size < full_disk.LIMIT


def unreadable(error):
    raise ValueError("the bag cannot be unpacked") from error


@pytest.mark.parametrize(
    ("fail", "code"),
    [
        (lambda: unreadable(OSError(errno.ENOSPC, "")), 1),
        *((lambda n=n: (_ for _ in ()).throw(OSError(n, "no", "a"))(), 1) for n in (28, 27, 122)),
        (lambda: unreadable(OSError(errno.ENOENT, "")), 2),
    ],
)
def test_a_full_disk_has_another_exit_code_than_a_bad_argument(monkeypatch, capsys, fail, code):
    monkeypatch.setattr(demo, "run", lambda args: fail())
    assert main(["demo"]) == code
    assert capsys.readouterr().err.startswith("panoptic: error: ")
