import os
import subprocess
import sys

import psutil
import pytest
from waiting import TIMEOUT, wait_for

from panoptic_ros.demo.processes import Children, DemoError


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "child_patient.py").write_text(
        'import time\nprint(\'{"event": "up"}\', flush=True)\ntime.sleep(60)\n'
    )
    (tmp_path / "child_failing.py").write_text(
        "import sys\nprint('the cable is cut', file=sys.stderr)\nsys.exit(3)\n"
    )
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def wait_for_events(children):
    return wait_for(lambda: list(children.events(0.1)), "events")


def test_reports_come_and_nobody_outlives_the_parent(tmp_path, environment):
    before = set(psutil.Process().children())
    with Children(tmp_path, environment) as children:
        children.start("patient", "child_patient", reports=True)
        assert wait_for_events(children) == [{"event": "up"}]
        assert set(psutil.Process().children()) != before
    assert set(psutil.Process().children()) == before


def test_what_is_no_report_goes_to_the_log(tmp_path, environment):
    (tmp_path / "child_chatty.py").write_text(
        "import sys, time\n"
        "print('on stderr', file=sys.stderr, flush=True)\n"
        "print('loading 1 %')\nprint('[3]')\n"
        'print(\'{"event": "up"}\', flush=True)\n'
        "print('the end', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    )
    with Children(tmp_path, environment) as children:
        children.start("chatty", "child_chatty", reports=True)
        assert wait_for_events(children) == [{"event": "up"}]
        log = tmp_path / "chatty.log"
        wait_for(lambda: len(log.read_text().splitlines()) == 4, "the log")
        assert sorted(log.read_text().splitlines()) == [
            "[3]",
            "loading 1 %",
            "on stderr",
            "the end",
        ]


def test_a_child_that_ends_is_an_error_with_its_last_words(tmp_path, environment):
    with Children(tmp_path, environment) as children:
        children.start("failing", "child_failing")
        with pytest.raises(DemoError, match=r"failing process .* code 3(?s:.*)the cable is cut"):
            wait_for_events(children)


def test_children_end_even_where_the_parent_is_killed(tmp_path, environment):
    code = (
        "import os, time; from pathlib import Path\n"
        "from panoptic_ros.demo.processes import Children\n"
        f"with Children(Path({str(tmp_path)!r}), os.environ) as children:\n"
        "    children.start('patient', 'child_patient')\n"
        "    print(children._processes['patient'].pid, flush=True); time.sleep(60)\n"
    )
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**environment, "PYTHONPATH": paths},
    )
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    child.wait(timeout=TIMEOUT)
