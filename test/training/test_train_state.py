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


def _flipped(path):
    torch.save({"w": torch.full((4,), 0.5)}, path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\0\0\0\x3f", b"\0\0\0\x3e", 1))


@pytest.mark.parametrize(
    "write",
    [*(lambda p, c=c: p.write_bytes(c) for c in (b"no archive", b"abc", b"")), _foreign, _flipped],
)
def test_what_is_no_state_is_named_and_not_executed(tmp_path, write):
    write(tmp_path / LAST)
    with pytest.raises(ValueError, match=r"last\.pt is no readable training state"):
        load_state(tmp_path)
