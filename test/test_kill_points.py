"""A few of the random kills of benchmarks/kill_points.py, which makes as many as one likes."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "kill_points.py"


def test_a_kill_costs_one_interval_at_most_and_nothing_is_corrupt():
    """One of a training and one of an evaluation; a replay's are in replay/test_offline.py."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--points", "2", "--seed", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 kills left nothing corrupt" in done.stdout
