import errno
import os
import subprocess
import sys

import pytest
from held import held

from panoptic_ros import whole_files
from panoptic_ros.whole_files import alone, replacing, write_file, write_json


def test_a_file_and_its_folders_appear(tmp_path):
    write_file(tmp_path / "a" / "b" / "text", "ä")
    assert (tmp_path / "a" / "b" / "text").read_bytes() == "ä".encode()
    # The name of a file, which need not be Unicode.
    write_file(tmp_path / "name", os.fsdecode(b"\xff"))
    assert (tmp_path / "name").read_bytes() == b"\\udcff"
    write_json(tmp_path / "c.json", {"a": [1]})
    assert (tmp_path / "c.json").read_text() == '{\n "a": [\n  1\n ]\n}\n'


def test_files_are_for_every_user_that_the_mask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        write_file(tmp_path / "a", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    file = tmp_path / "a"
    write_file(file, b"old")

    def write():
        with replacing(file) as opened:
            opened.write(b"new")
            raise error

    with pytest.raises(error):
        write()
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


FULL = """
import pathlib, resource, signal, sys
import numpy as np, torch
from panoptic_ros.whole_files import replacing, write_file
file = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
def with_torch():
    with replacing(file) as opened:
        torch.save({"w": torch.zeros(100_000)}, opened)
def with_bytes():
    write_file(file, bytes(1_000_000))
try:
    {"torch": with_torch, "bytes": with_bytes}[sys.argv[2]]()
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("what", ["torch", "bytes"])
def test_a_full_disk_is_told_with_the_file(tmp_path, what):
    file = tmp_path / "last.pt"
    write_file(file, b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL, file, what], capture_output=True, text=True, check=True
    )
    assert f"cannot be written: File too large: '{file}'" in done.stdout
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_alone_leaves_what_was_written_and_no_more(tmp_path):
    folder = tmp_path / "a" / "b"
    with alone(folder, "--out"):
        assert folder.is_dir()
    assert not list(tmp_path.iterdir())
    with alone(folder, "--out"):
        write_file(folder / "c", b"")
    assert list(folder.iterdir()) == [folder / "c"]


def test_two_are_not_alone(tmp_path):
    with (
        held(tmp_path / "a"),
        pytest.raises(ValueError, match=r"a is in use by another run; wait .* another --run"),
        alone(tmp_path / "a", "--run"),
    ):
        pass
    with alone(tmp_path / "a", "--run"):
        pass


def test_a_lock_that_its_holder_removes_is_taken_anew(tmp_path, monkeypatch):
    lock, files = whole_files.fcntl.lockf, []

    def removed_once(opened, how):
        if not files:
            (tmp_path / whole_files.LOCK).unlink()
        files.append(opened)
        lock(opened, how)

    monkeypatch.setattr(whole_files.fcntl, "lockf", removed_once)
    with alone(tmp_path, "--out"):
        assert (tmp_path / whole_files.LOCK).is_file()
    assert len(files) == 2


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(whole_files.fcntl, "lockf", none)
    with alone(tmp_path, "--out"):
        pass
    assert not list(tmp_path.iterdir())
