"""A few of the random kills of benchmarks/kill_points.py, which makes as many as one likes."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "kill_points.py"


def test_a_kill_costs_one_interval_at_most_and_nothing_is_corrupt():
    """One of training, evaluation, replay and the fetching of weights each."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--points", "4", "--seed", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 kills left nothing corrupt" in done.stdout
