from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from street_files import SIZE, write_model

from panoptic_ros.evaluation.timing import end_to_end, peak_memory, statistics, timed
from panoptic_ros.pipeline import PanopticPipeline

IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return PanopticPipeline.load(str(write_model(tmp_path_factory.mktemp("model"))), device="cpu")


def test_strategies_share_one_run_of_the_networks(pipeline, monkeypatch):
    runs = []
    for part in ("semantic", "instances"):
        network = getattr(pipeline.networks, part).network
        network.register_forward_hook(lambda *_, part=part: runs.append(part))
    inference, merged, milliseconds = timed(pipeline, IMAGE, ["stack", "conv_head"])
    assert runs == ["semantic", "instances"]
    assert list(merged) == ["stack", "conv_head"]
    for name, panoptic in merged.items():
        pipeline.set_fusion(name, pipeline.options)
        assert np.array_equal(panoptic.labels, pipeline(IMAGE).labels)
    assert inference.semantic.image_size == SIZE
    stages = ["upload", "semantic", "instances", "fusion stack", "fusion conv_head"]
    assert list(milliseconds) == stages
    assert all(t > 0 for t in milliseconds.values())


def test_end_to_end_counts_only_the_strategys_own_merge():
    times = {
        "read": 100.0,
        "upload": 1.0,
        "semantic": 10.0,
        "instances": 20.0,
        "fusion stack": 3.0,
        "fusion conv_head": 5.0,
    }
    assert end_to_end(times, "stack") == 34.0
    assert end_to_end(times, "conv_head") == 36.0


def test_statistics():
    assert statistics([]) is None
    found = statistics(list(range(101)))
    assert found == {"mean": 50.0, "p50": 50.0, "p95": 95.0, "min": 0.0, "max": 100.0}


def test_peak_memory_is_at_least_what_the_process_has_now():
    now = psutil.Process().memory_info().rss / 2**20
    peak = peak_memory(torch.device("cpu"))
    # The kernel adds up the last few pages later.
    assert now - 8 <= peak["host"] < psutil.virtual_memory().total / 2**20
    assert peak["device"] is None


def test_peak_memory_is_not_known_where_the_system_does_not_tell_it(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "VmRSS:\t  80 kB\n")
    assert peak_memory(torch.device("cpu")) == {"host": None, "device": None}


@pytest.mark.gpu
def test_times_and_memory_of_a_gpu(tmp_path):
    device = torch.device("cuda")
    pipeline = PanopticPipeline.load(str(write_model(tmp_path)), device="cuda")
    _, _, milliseconds = timed(pipeline, IMAGE, ["stack", "conv_head"])
    assert all(t > 0 for t in milliseconds.values())
    assert peak_memory(device)["device"] > 1
