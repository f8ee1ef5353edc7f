"""A folder, or a lock, that another process holds."""

import subprocess
import sys
from contextlib import contextmanager

_HOLD = """
import pathlib, sys
from panoptic_ros.whole_files import locked
with locked(pathlib.Path(sys.argv[1]), ""):
    print(flush=True)
    sys.stdin.read()
"""


def held(folder):
    return held_file(folder / ".lock")


@contextmanager
def held_file(lock):
    command = [sys.executable, "-c", _HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        yield
        process.stdin.close()
