import json
import os

import pytest

from panoptic_ros.evaluation.run_state import RunState, fingerprint
from panoptic_ros.model.config import load_model_config

SETTINGS = {"dataset": "town", "fusion": ["stack"]}


def records(folder, settings=SETTINGS):
    with RunState(folder, settings) as state:
        return state.records


def test_records_are_there_again(tmp_path):
    with RunState(tmp_path / "new", SETTINGS) as state:
        assert state.records == {}
        state.add("a", {"scores": [1, 2.5]})
        state.add("b", {"scores": []})
    assert records(tmp_path / "new") == {"a": {"scores": [1, 2.5]}, "b": {"scores": []}}


@pytest.mark.parametrize("cut", [1, 10])
def test_a_record_that_a_kill_cut_off_is_dropped_and_may_be_added_again(tmp_path, cut):
    with RunState(tmp_path, SETTINGS) as state:
        state.add("a", {"scores": 1})
        state.add("b", {"scores": 2})
    content = state.path.read_bytes()
    state.path.write_bytes(content[:-cut])
    with RunState(tmp_path, SETTINGS) as state:
        assert list(state.records) == ["a"]
        state.add("b", {"scores": 2})
    assert state.path.read_bytes() == content


def test_other_settings_are_refused_and_change_nothing(tmp_path):
    with RunState(tmp_path, SETTINGS) as state:
        state.add("a", {})
    content = state.path.read_bytes()
    with pytest.raises(ValueError, match=r"fusion was \['stack'\] and is \['conv_head'\]"):
        RunState(tmp_path, {**SETTINGS, "fusion": ["conv_head"]})
    with pytest.raises(ValueError, match="split was None and is 'val'"):
        RunState(tmp_path, {**SETTINGS, "split": "val"})
    assert state.path.read_bytes() == content
    assert list(records(tmp_path)) == ["a"]


def test_two_at_once_are_refused(tmp_path):
    with RunState(tmp_path, SETTINGS), pytest.raises(ValueError, match="in use by another"):
        RunState(tmp_path, SETTINGS)


@pytest.mark.parametrize(
    "content",
    [
        b"no json\n",
        b"[1]\n",
        b'{"other": 1}\n',
        b'{"settings": 5}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_another_file_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / "frames.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=r"frames\.jsonl is not an evaluation's state"):
        RunState(tmp_path, SETTINGS)
    assert (tmp_path / "frames.jsonl").read_bytes() == content


@pytest.mark.parametrize(
    ("old", "new"), [(b"2.5", b"3.5"), (b'"a"', b'"c"'), (b"scores", b"scorez"), (b"{", b"[")]
)
def test_a_damaged_line_is_named_and_its_frame_scored_anew_without_it(tmp_path, old, new):
    with RunState(tmp_path, SETTINGS) as state:
        state.add("a", {"scores": [1, 2.5]})
        state.add("b", {"scores": []})
    first, damaged, last = state.path.read_bytes().splitlines(keepends=True)
    content = first + damaged.replace(old, new, 1) + last
    state.path.write_bytes(content)
    with pytest.raises(ValueError, match=r"frames\.jsonl: line 2 is damaged .*remove this line"):
        RunState(tmp_path, SETTINGS)
    assert state.path.read_bytes() == content
    state.path.write_bytes(first + last)
    assert list(records(tmp_path)) == ["b"]


@pytest.mark.parametrize("instance", ["instance", "best[1]", os.fsdecode(b"\xff")])
def test_weights_trained_anew_are_another_model(tmp_path, instance):
    (tmp_path / f"{instance}.old").mkdir()
    for name in ("semantic", instance):
        (tmp_path / f"{name}.safetensors").write_bytes(b"1")
    model = tmp_path / "model.yaml"
    parts = {"semantic": {"weights": "./semantic"}, "instances": {"weights": f"./{instance}"}}
    model.write_text(json.dumps({"label_set": "cityscapes", **parts}))
    before = fingerprint(load_model_config(model))
    assert fingerprint(load_model_config(model)) == before
    (tmp_path / f"{instance}.safetensors").write_bytes(b"2")
    assert fingerprint(load_model_config(model)) != before
