import pytest
import torch
from torch import nn

from panoptic_ros.checkpoints.state import load_state


def test_tensors_take_the_modules_own_dtype():
    module = nn.Linear(2, 1)
    load_state(module, {"weight": torch.ones(1, 2).half(), "bias": torch.zeros(1)}, source="x")
    assert module.weight.dtype == torch.float32
    assert module.weight.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int64, torch.complex64])
def test_numbers_of_another_kind_are_refused(dtype):
    module = nn.Linear(1, 1)
    tensors = {"weight": torch.ones(1, 1, dtype=dtype), "bias": torch.zeros(1)}
    message = rf"x does not fit: of another type tensors \(1\): weight {dtype} instead of torch.fl"
    with pytest.raises(ValueError, match=message):
        load_state(module, tensors, source="x")


def test_averages_of_counters_are_taken():
    """EMA classes average all buffers, num_batches_tracked among them."""
    module = nn.BatchNorm1d(1)
    load_state(module, {n: t.float() for n, t in module.state_dict().items()}, source="x")
    assert module.num_batches_tracked.dtype == torch.int64


def test_all_disagreements_are_told_at_once_and_nothing_is_changed():
    module = nn.Linear(2, 1)
    before = module.weight.clone()
    tensors = {"weight": torch.ones(2, 1)} | {f"t{i}": torch.ones(1) for i in range(7)}
    message = (
        r"file does not fit: missing tensors \(1\): bias; superfluous tensors \(7\): t0, t1, t2, "
        r"t3, t4 and 2 more; misshapen tensors \(1\): weight \[2, 1\] instead of \[1, 2\]"
    )
    with pytest.raises(ValueError, match=message):
        load_state(module, tensors, source="file")
    assert torch.equal(module.weight, before)
