import ctypes
import os
import subprocess
import sys

import pytest

from panoptic_ros.allocator import give_back_freed_memory, keep_freed_memory

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc"
)
# In processes of their own: settings last as long as a process. Blocks of 64 MiB, as of a large
# layer, by a thread that is not the first. Huge pages have 2 MiB: 32 a block.
USE = """
import resource
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from panoptic_ros.allocator import give_back_freed_memory, keep_freed_memory

def use(blocks):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(blocks):
        np.ones(64 << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() >> 20
"""
BLOCKS = 10
FAULTS = f"""
with ThreadPoolExecutor(1) as thread:
    thread.submit(use, 2).result()
    print(thread.submit(use, {BLOCKS}).result())
"""


def answer(program, **settings):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", USE + program],
        env=environment | settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


TRAINING = """
from contextlib import redirect_stdout
from panoptic_ros.__main__ import main
with redirect_stdout(None):
    main(["train", "semantic", "--data", "nowhere", "--run", "nowhere"])
"""


@pytest.mark.parametrize("start", ["keep_freed_memory()", TRAINING])
def test_freed_memory_is_used_again_without_asking_the_system(start):
    assert answer(start + FAULTS) < 32


@pytest.mark.parametrize(
    ("program", "settings"),
    [
        (FAULTS, {}),
        ("keep_freed_memory()" + FAULTS, {"MALLOC_TRIM_THRESHOLD_": "131072"}),
        ("keep_freed_memory()" + FAULTS, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}),
    ],
)
def test_without_it_or_with_own_settings_the_system_gives_each_block_anew(program, settings):
    assert answer(program, **settings) >= 32 * BLOCKS


def test_what_was_kept_is_given_back():
    program = "keep_freed_memory()\nuse(2)\nkept = resident()\ngive_back_freed_memory()\n"
    assert answer(program + "print(kept - resident())") > 50


@pytest.mark.parametrize("fault", [OSError("no handle"), TypeError("no name")])
def test_other_c_libraries_are_left_as_they_are(fault, monkeypatch):
    def cannot_load(name):
        raise fault

    monkeypatch.setattr(ctypes, "CDLL", cannot_load)
    keep_freed_memory()
    give_back_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    keep_freed_memory()
    give_back_freed_memory()
