import subprocess
import sys

import pytest
import torch

from panoptic_ros.training.train_state import LAST, load_state, save_state


def test_a_state_comes_back(tmp_path):
    save_state(tmp_path / "run", {"step": 3, "trainee": {"w": torch.arange(3.0)}})
    state = load_state(tmp_path / "run")
    assert state["step"] == 3
    assert state["trainee"]["w"].tolist() == [0, 1, 2]


def test_no_state_yet(tmp_path):
    assert load_state(tmp_path) is None


def test_a_write_that_is_cut_off_leaves_the_old_state(tmp_path, monkeypatch):
    save_state(tmp_path, {"step": 1})

    def cut_off(state, file):
        file.write(b"half of a st")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", cut_off)
    with pytest.raises(KeyboardInterrupt):
        save_state(tmp_path, {"step": 2})
    assert load_state(tmp_path) == {"step": 1}


class _Foreign:
    pass


def _foreign(path):
    torch.save({"step": _Foreign()}, path)


@pytest.mark.parametrize("write", [lambda p: p.write_bytes(b"no archive"), _foreign])
def test_what_is_no_state_is_named_and_not_executed(tmp_path, write):
    write(tmp_path / LAST)
    with pytest.raises(ValueError, match=r"last\.pt is no readable training state"):
        load_state(tmp_path)


FULL = """
import resource, signal, sys
from pathlib import Path
import torch
from panoptic_ros.training.train_state import save_state
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_state(Path(sys.argv[1]), {"step": 2, "trainee": {"w": torch.zeros(100_000)}})
except OSError as error:
    print(error)
"""


def test_a_full_disk_is_named_and_leaves_the_old_state_alone(tmp_path):
    save_state(tmp_path, {"step": 1})
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True
    )
    assert f"cannot be written: File too large: '{tmp_path / LAST}'" in done.stdout
    assert load_state(tmp_path) == {"step": 1}
    assert [f.name for f in tmp_path.iterdir()] == [LAST]
