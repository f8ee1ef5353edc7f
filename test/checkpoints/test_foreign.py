import argparse
import builtins
import collections
import datetime
import decimal
import io
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import uuid
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from panoptic_ros.checkpoints import convert
from panoptic_ros.checkpoints.foreign import open_tensors
from panoptic_ros.checkpoints.state import check_finite

MARK = "panoptic_was_here"


class Calls:
    """Pickle as the call of a function."""

    def __init__(self, function, *args):
        self._call = (function, args)

    def __reduce__(self):
        return self._call


class SetsState:
    """Pickle as an object with attributes (the BUILD instruction)."""

    def __init__(self):
        self.attribute = 1


COMMAND = f"touch {MARK}"
CODE = f"open({MARK!r}, 'w')"
EXECUTORS = {
    "os.system": Calls(os.system, COMMAND),
    "eval": Calls(builtins.eval, CODE),
    "exec": Calls(builtins.exec, CODE),
    "nested": {"model": {"w": [(1, {"a": Calls(os.system, COMMAND)})]}},
    "reduction of a reduction": Calls(getattr, Calls(__import__, "os"), "system"),
    "argument of a known callable": Calls(np.dtype, Calls(os.system, COMMAND)),
    "subprocess": Calls(subprocess.call, ["touch", MARK]),
    "attributes": {"model": SetsState()},
    "object array": {"model": {"w": np.array([Calls(os.system, COMMAND)], dtype=object)}},
    "array of structures": {"model": {"w": np.zeros(2, [("a", "f4")])}},
    "array of text": {"model": {"w": np.array(["a", "b"])}},
    "bytearray": {"model": Calls(bytearray, 1 << 40)},
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", EXECUTORS)
def test_nothing_in_a_pickle_is_executed(tmp_path, monkeypatch, name, protocol):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "model_final.pkl"
    file.write_bytes(pickle.dumps(EXECUTORS[name], protocol=protocol))
    with pytest.raises(ValueError, match=r"model_final.pkl (names|has|holds|sets|is)"):
        convert(file)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["os.system", "eval", "nested", "object array"])
def test_nothing_in_a_torch_file_is_executed(tmp_path, monkeypatch, name, zipped):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "best.pth"
    content = {"model_state": {"w": torch.zeros(1)}, "other": EXECUTORS[name]}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"best.pth (names|holds)"):
        convert(file)
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_named_is_told(tmp_path):
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps(EXECUTORS["os.system"]))
    with pytest.raises(ValueError, match=r"names '\w+.system', .*; nothing was executed"):
        convert(file)
    file.write_bytes(b"\x80\x02}(K\x01K\x02u\x92.")
    with pytest.raises(ValueError, match=r"has the pickle instruction b'\\x92'"):
        convert(file)
    # An object of a class that nothing stands for.
    file.write_bytes(b"\x80\x02ctorch\nSize\n)\x81.")
    with pytest.raises(ValueError, match=r"makes an object of a function"):
        convert(file)


ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "Fortran order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(3, dtype=">i4"),
    "half": np.ones((2, 1), np.float16),
    "scalar": np.array(7),
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_any_protocol_are_read(tmp_path, protocol):
    file = tmp_path / "a.pkl"
    content = {"model": ARRAYS, "score": np.float32(0.5), "by": "a", "done": True}
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    with open_tensors(file) as found:
        read = {name: declared.tensor() for name, declared in found.tensors.items()}
    assert list(read) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert read[name].shape == array.shape
        assert np.array_equal(read[name].numpy(), array)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_both_torch_formats_are_read(tmp_path, zipped):
    base = torch.arange(24.0)
    tensors = {
        "view": base.view(4, 6)[1:3, ::2],
        "transposed": base.view(4, 6).T,
        "half": torch.ones(3).bfloat16(),
        "counter": torch.tensor(5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "empty": torch.zeros(0, 2),
    }
    file = tmp_path / "a.pth"
    torch.save(tensors, file, _use_new_zipfile_serialization=zipped)
    with open_tensors(file) as found:
        for name, tensor in tensors.items():
            assert found.tensors[name].shape == tensor.shape
            assert torch.equal(found.tensors[name].tensor(), tensor.detach())


BESIDE = {
    "args": argparse.Namespace(lr=0.1, milestones=[1, 2], data=pathlib.Path("/data"), kinds={"a"}),
    "lr_scheduler": {"milestones": collections.Counter([1, 2]), "last": collections.deque([1])},
    "by class": collections.defaultdict(list, {None: 1, "a": [2]}),
    "took": [datetime.timedelta(1), datetime.datetime.now(datetime.UTC), uuid.UUID(int=1)],
    "steps": [range(3), ..., decimal.Decimal(1), torch.strided, np.str_("cosine")],
    "random": [np.random.get_state(), torch.get_rng_state(), np.random.RandomState(0)],
    "device": torch.device("cpu"),
    "dtype": torch.bfloat16,
    "numbers": (1j, slice(1), frozenset([1]), np.float32(1)),
    "optimizer": {"state": {0: {"momentum": torch.ones(1)}}, "param_groups": [{"lr": None}]},
    "epoch": 3,
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_a_training_run_keeps_beside_its_tensors_is_forgotten(tmp_path, zipped, protocol):
    file = tmp_path / "model_9.pth"
    content = BESIDE | {"model": {"w": torch.arange(3.0)}}
    torch.save(content, file, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    with open_tensors(file) as found:
        assert found.part == "model"
        assert found.tensors["w"].tensor().tolist() == [0, 1, 2]


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_the_same_in_a_plain_pickle(tmp_path, protocol):
    file = tmp_path / "model_final.pkl"
    beside = {
        k: v for k, v in BESIDE.items() if k not in ("optimizer", "numbers", "dtype", "random")
    }
    file.write_bytes(pickle.dumps(beside | {"model": {"w": np.ones(2)}}, protocol))
    with open_tensors(file) as found:
        assert found.tensors["w"].shape == (2,)


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."],
)
def test_wrappers_leave_no_trace_in_the_names(tmp_path, prefix):
    state = {f"{prefix}{name}": torch.ones(1) for name in ("a.weight", "b._orig_mod.bias")}
    torch.save({"model": state}, tmp_path / "a.pth")
    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        with open_tensors(tmp_path / name) as found:
            assert list(found.tensors) == ["a.weight", "b.bias"]


def test_a_part_that_is_called_module_keeps_its_name(tmp_path):
    torch.save({"module.a": torch.ones(1), "head.b": torch.ones(1)}, tmp_path / "a.pth")
    with open_tensors(tmp_path / "a.pth") as found:
        assert list(found.tensors) == ["module.a", "head.b"]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"state_dict": {"model.a.w": torch.ones(1), "model.b": torch.ones(1)}}, "state_dict"),
        ({"net._orig_mod.a.w": torch.ones(1), "net.b": torch.ones(1)}, ""),
        ({"state_dict": {"network.module.a.w": torch.ones(1)}}, "state_dict"),
        (
            {
                "state_dict": {
                    "model.a.w": torch.ones(1),
                    "model.b": torch.ones(1),
                    "loss.w": torch.ones(1),
                }
            },
            "state_dict model.* (1 other tensors left out)",
        ),
    ],
)
def test_the_network_of_a_lightning_module_is_taken_and_that_is_said(tmp_path, content, part):
    torch.save(content, tmp_path / "a.ckpt")
    with open_tensors(tmp_path / "a.ckpt") as found:
        assert found.part == part
        assert set(found.tensors) <= {"a.w", "b"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"student": {"a.w": torch.ones(1)}, "epoch": 3}, "under 'student': save one of them"),
        ({"a": {"b": {"a.w": torch.ones(1)}}}, "under 'a': save one of them alone"),
        ({"a.w": torch.ones(1).to(torch.float8_e4m3fn)}, "save the tensors alone"),
        ({"a.w": torch.empty(1, device="meta")}, "save the tensors alone"),
        (torch.nn.Linear(1, 1), "save the tensors alone"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b'{"weight_map": {"a": "model-00001-of-00002.safetensors"}}', "text .JSON."),
        (b"\x1f\x8b\x08" + bytes(40), "packed by gzip; unpack it first"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file"),
    ],
)
def test_what_is_no_state_of_tensors_is_told_with_what_to_do(tmp_path, content, words):
    file = tmp_path / "a.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(ValueError, match=rf"^{file} .*{words}"), open_tensors(file):
        pass


def test_a_program_is_told_from_tensors(tmp_path):
    file = tmp_path / "a.pt"
    torch.jit.trace(torch.nn.Identity(), torch.ones(1)).save(str(file))
    with (
        pytest.raises(ValueError, match=r"is a program .*save the tensors alone"),
        open_tensors(file),
    ):
        pass


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_that_share_a_storage_read_it_once(tmp_path, monkeypatch, zipped):
    flat = torch.arange(6.0)
    state = {f"a.{i}": flat[2 * i : 2 * i + 2] for i in range(3)}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    reads = []
    frombuffer = torch.frombuffer
    monkeypatch.setattr(torch, "frombuffer", lambda *a, **k: reads.append(1) or frombuffer(*a, **k))
    with open_tensors(tmp_path / "a.pth") as found:
        values = [tensor.tensor().tolist() for tensor in found.tensors.values()]
    assert values == [[0, 1], [2, 3], [4, 5]]
    assert len(reads) == 1


def test_a_type_that_torch_can_only_store_is_told():
    odd = torch.zeros(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    with pytest.raises(ValueError, match=r"^file: w is torch.float4.*cannot be read"):
        check_finite({"w": odd}, source="file")


def test_names_that_become_one_are_refused(tmp_path):
    torch.save({"_orig_mod.a": torch.ones(1), "a": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="differ by nothing but a wrapper's prefix"):
        convert(tmp_path / "a.pth")


LAST = {"a.weight": torch.zeros(1), "a.running_mean": torch.zeros(1)}


@pytest.mark.parametrize(
    ("content", "part", "value"),
    [
        ({"model": LAST}, "model", 0),
        ({"state_dict": LAST, "epoch": 1}, "state_dict", 0),
        ({"model": {"state_dict": LAST, "step": 3}}, "model.state_dict", 0),
        ({"model": LAST, "ema": 0.99}, "model", 0),
        ({"model": LAST, "model_ema": None}, "model", 0),
        (
            {"model": LAST, "ema": {"decay": 0.9, "module": {n: t + 1 for n, t in LAST.items()}}},
            "ema.module",
            1,
        ),
        ({"model_ema": {n: t + 1 for n, t in LAST.items()}}, "model_ema", 1),
        (
            {"state_dict": LAST, "state_dict_ema": {n: t + 1 for n, t in LAST.items()}},
            "state_dict_ema",
            1,
        ),
        # Averages of the parameters alone lack what the norms need.
        ({"model": LAST, "ema": {"shadow": {"a.weight": torch.ones(1)}}}, "model", 0),
    ],
)
def test_averages_are_taken_where_they_are_whole_and_that_is_said(tmp_path, content, part, value):
    torch.save(content, tmp_path / "a.pth")
    with open_tensors(tmp_path / "a.pth") as found:
        assert found.part == part
        assert found.tensors["a.weight"].tensor().item() == value


def test_averages_as_torchs_own_class_writes_them(tmp_path):
    model = torch.nn.Linear(2, 1)
    averaged = torch.optim.swa_utils.AveragedModel(torch.nn.DataParallel(model))
    torch.save(
        {"model": model.state_dict(), "model_ema": averaged.state_dict()}, tmp_path / "a.pth"
    )
    with open_tensors(tmp_path / "a.pth") as found:
        assert found.part == "model_ema"
        assert set(found.tensors) == {"weight", "bias"}


def legacy(keys):
    """Return a legacy file of a tensor whose list of storages is another one."""
    return (
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
        + pickle.dumps({"little_endian": True}, 2)
        + tensor_pickle(1, (1,), (1,))
        + pickle.dumps(keys, 2)
        + struct.pack("<qf", 1, 1.0)
    )


@pytest.mark.parametrize("keys", [None, 3, "0", [3], [["0"]], [{}], [None], {"0": 1}, ["1"]])
def test_a_list_of_storages_that_is_none_is_refused(tmp_path, keys):
    file = tmp_path / "old.pth"
    file.write_bytes(legacy(keys))
    with pytest.raises(ValueError, match=r"old.pth (is damaged|has a storage that no tensor uses)"):
        convert(file)
    file.write_bytes(legacy(["0"]))
    with open_tensors(file) as found:
        assert found.tensors["w"].tensor().tolist() == [1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
        b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}',
        b'{"a":' * 10_000,
        b"{}",
        b"[]",
        b'{"__metadata__":{"a":"b"}}',
    ],
)
def test_a_damaged_safetensors_file_is_refused(tmp_path, content):
    file = tmp_path / "a.safetensors"
    for length in (len(content), 1 << 32, (1 << 64) - 1):
        file.write_bytes(length.to_bytes(8, "little") + content)
        with pytest.raises(ValueError, match=r"a.safetensors (is damaged|holds no tensors)"):
            convert(file)


def test_a_type_that_torch_does_not_have_is_refused(tmp_path):
    file = tmp_path / "a.safetensors"
    header = b'{"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}'
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"abc")
    with (
        pytest.raises(ValueError, match=r"a.safetensors has 'a', which cannot be read"),
        open_tensors(file) as found,
    ):
        found.tensors["a"].tensor()


@pytest.mark.parametrize("kind", ["pickle", "zip", "legacy"])
def test_a_file_cut_anywhere_is_refused(tmp_path, kind):
    file = tmp_path / "whole"
    tensors = {"model": {"a": np.ones(50, np.float32), "b": np.zeros((3, 4))}}
    if kind == "pickle":
        file.write_bytes(pickle.dumps(tensors))
    else:
        state = {name: torch.from_numpy(array) for name, array in tensors["model"].items()}
        torch.save(state, file, _use_new_zipfile_serialization=kind == "zip")
    content = file.read_bytes()
    for length in {*range(1, len(content), 37), len(content) - 1}:
        file.write_bytes(content[:length])
        with pytest.raises(ValueError, match="whole "):
            convert(file)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        convert(file)


@pytest.mark.parametrize("seed", range(3))
def test_a_changed_byte_is_refused_or_read_but_never_crashes(tmp_path, seed):
    content = io.BytesIO()
    torch.save({"a": torch.ones(4), "b": torch.zeros(2, 2)}, content, pickle_protocol=2)
    rng = np.random.default_rng(seed)
    file = tmp_path / "changed"
    for position in rng.integers(0, len(content.getvalue()), 60):
        changed = bytearray(content.getvalue())
        changed[position] = rng.integers(0, 256)
        file.write_bytes(changed)
        # No known network in any case.
        with pytest.raises(ValueError, match="changed"):
            convert(file)


def zipped(data_pkl, compression=zipfile.ZIP_STORED, **entries):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data_pkl)
        for name, value in entries.items():
            archive.writestr(f"archive/data/{name}", value)
    return content.getvalue()


class Storage:
    def __init__(self, numel):
        self.numel = numel


class StoragePickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", torch.FloatStorage, "0", "cpu", obj.numel)
        return None


def tensor_pickle(numel, size, stride, offset=0):
    content = io.BytesIO()
    rebuild = (Storage(numel), offset, size, stride, False, {})
    StoragePickler(content, 2).dump({"w": Calls(torch._utils._rebuild_tensor_v2, *rebuild)})
    return content.getvalue()


HUGE = 1 << 40
STATE = (1, (HUGE,), np.dtype("f4"), False, b"1234")


class HugeArray(Calls):
    def __reduce__(self):
        return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), STATE


def nested(depth):
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def nested_tuple_key(depth):
    return b"\x80\x02})" + b"\x85" * depth + b"Ns."


@pytest.fixture(scope="module")
def bombs():
    """Return files by name; it takes seconds, so not where the tests are only collected."""

    def held(*tensor):
        return zipped(tensor_pickle(*tensor), **{"0": b"1234"})

    return {
        "zip bomb": zipped(b"\0" * (200 << 20), zipfile.ZIP_DEFLATED),
        "bomb beside the pickle": zipped(b"N.", zipfile.ZIP_DEFLATED, x=b"\0" * (200 << 20)),
        "huge storage": held(HUGE, (HUGE,), (1,)),
        "tensor beyond its storage": held(1, (HUGE,), (1,)),
        "tensor that repeats its storage": held(1, (HUGE,), (0,)),
        "tensor before its storage": held(1, (1,), (1,), -1),
        "huge array": pickle.dumps({"w": HugeArray(None)}, 2),
        "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b"1234.",
        "huge bytearray": b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b"1234.",
        "huge text": b"\x80\x04\x8d" + struct.pack("<Q", HUGE) + b"1234.",
        "huge frame": b"\x80\x04\x95" + struct.pack("<Q", HUGE) + b"N.",
        "huge memo": b"\x80\x02Nr\xff\xff\xff\xff.",
        "huge legacy storage": b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
        + pickle.dumps({"little_endian": True}, 2)
        + tensor_pickle(HUGE, (HUGE,), (1,))
        + pickle.dumps(["0"], 2)
        + struct.pack("<q", HUGE),
        "many objects": b"\x80\x02(" + b"}" * 20_000_000 + b"l.",
        "deep lists": nested(500_000),
        "deep tuples as a key": nested_tuple_key(1_000_000),
        "deep marks": b"\x80\x02" + b"(" * 1_000_000 + b".",
        "no storage": zipped(tensor_pickle(1, (1,), (1,))),
        "two pickles": b"PK\x03\x04",
    }


READER = """
import pathlib, resource, sys
from panoptic_ros.checkpoints import convert
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (700 << 20),) * 2)
for file in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        convert(file)
        print(file.name, "was taken")
    except ValueError as error:
        print(file.name, "refused:", str(error)[:300])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_bombs_are_refused_in_bounded_memory(tmp_path, bombs):
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", READER, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(bombs)
    for name in bombs:
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        assert line.startswith(f"{name} refused: {tmp_path / name} "), line
        assert "MemoryError" not in line
