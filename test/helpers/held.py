"""A folder that another process writes into."""

import subprocess
import sys
from contextlib import contextmanager

_HOLD = """
import pathlib, sys
from panoptic_ros.whole_files import alone
with alone(pathlib.Path(sys.argv[1]), "--out"):
    print(flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(folder):
    command = [sys.executable, "-c", _HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        yield
        process.stdin.close()
