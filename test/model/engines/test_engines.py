import logging
import shutil
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from model_file import SMALL, write
from run_at_once import RunAtOnce
from torch.utils._python_dispatch import TorchDispatchMode

from panoptic_ros.datasets.picture_files import read_picture
from panoptic_ros.model import engines
from panoptic_ros.model.config import ENGINES, load_model_config
from panoptic_ros.model.engines import artefacts, cuda_graph_engine, runtime_of
from panoptic_ros.model.onnx import runtimes
from panoptic_ros.model.predictors import SeparatePredictors
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.resources import share_dir

IMAGE = np.random.default_rng(1).integers(0, 256, (64, 128, 3), np.uint8)
OPTIONS = {"score_threshold": 0.0, "stuff_area_limit": 0}
PARTS = ("semantic", "instances")


def model(folder, **changes):
    """Write a model file of two small networks that see frames at 128x64."""
    halves = {part: {**SMALL[part], "short_side": 64, "long_side": 128} for part in PARTS}
    return write(folder / "small.yaml", **{**halves, "options": OPTIONS, **changes})


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return a model file, and a cache that the first engine fills for all tests."""
    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield model(folder)


def loaded(file, engine):
    return PanopticPipeline.load(str(file), device="cpu", engine=engine)


@pytest.fixture(scope="module")
def eager(small):
    return loaded(small, "eager").run(IMAGE)


@pytest.fixture
def cached(small):
    """Return the model file when its graph for the typical size is on disk."""
    loaded(small, "onnx")
    return small


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_an_engine_gives_what_torch_gives(small, eager, engine):
    found = loaded(small, engine).run(IMAGE)
    assert (found.panoptic.labels == eager.panoptic.labels).mean() >= 0.9999
    np.testing.assert_allclose(found.instances.scores, eager.instances.scores, atol=1e-4)


def test_a_model_file_may_name_its_engine(tmp_path):
    assert load_model_config(model(tmp_path)).engine == engines.DEFAULT
    assert load_model_config(model(tmp_path, engine="onnx")).engine == "onnx"
    with pytest.raises(ValueError, match=r"engine is 'warp'; known: eager, onnx, openvino"):
        load_model_config(model(tmp_path, engine="warp"))
    with pytest.raises(ValueError, match=r"engine is 'warp'; known: eager, onnx, openvino"):
        loaded(model(tmp_path), "warp")


def test_what_is_on_disk_is_ready_at_once(cached, monkeypatch):
    monkeypatch.setattr(artefacts, "write_graph", lambda *_: pytest.fail("exported again"))
    assert len(loaded(cached, "onnx").run(IMAGE).instances) > 0


def test_other_weights_have_a_graph_of_their_own(cached, tmp_path, monkeypatch):
    class AgainError(Exception):
        pass

    def write_graph(*_):
        raise AgainError

    monkeypatch.setattr(artefacts, "write_graph", write_graph)
    with pytest.raises(AgainError):
        loaded(model(tmp_path, seed=4), "onnx")
    assert {f.suffix for f in artefacts.cache_dir().iterdir()} == {".onnx", ".yaml"}


def test_a_frame_of_another_size_is_torchs_until_its_graph_is_ready(cached, tmp_path, monkeypatch):
    """The thread waits until the frame is done: no frame waits for the thread."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shutil.copytree(Path(cached).parent / "cache", tmp_path, dirs_exist_ok=True)
    networks = loaded(cached, "onnx").networks
    go, done = threading.Event(), threading.Event()
    prepared = networks._prepared

    def prepare_later(size):
        go.wait(120)
        try:
            return prepared(size)
        finally:
            done.set()

    monkeypatch.setattr(networks, "_prepared", prepare_later)
    square = IMAGE[:, :64]
    by_torch = networks(square)[1].scores
    assert not done.is_set()
    go.set()
    deadline = time.monotonic() + 120
    while (64, 64) not in networks._graphs and time.monotonic() < deadline:
        time.sleep(0.01)
    np.testing.assert_allclose(networks._graphs[64, 64](square)[1].scores, by_torch, atol=1e-4)


def test_sizes_beyond_the_most_and_those_that_fail_are_torchs(cached, monkeypatch, caplog):
    networks = loaded(cached, "onnx").networks
    failed = threading.Event()

    def fail(size):
        failed.set()
        raise OSError("the disk is full")

    monkeypatch.setattr(networks, "_prepared", fail)
    assert networks(IMAGE[:, :64])[0].image_size == (64, 64)
    assert failed.wait(120)
    monkeypatch.setattr(artefacts, "MOST_SIZES", 1)
    monkeypatch.setattr(networks, "_prepare", lambda size: pytest.fail("one too many"))
    for width in (64, 96):
        assert networks(IMAGE[:, :width])[0].image_size == (64, width)


@pytest.mark.parametrize("damage", ["a bit", "no graph", "description"])
def test_what_is_damaged_on_disk_is_made_anew(cached, tmp_path, monkeypatch, caplog, damage):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shutil.copytree(Path(cached).parent / "cache", tmp_path, dirs_exist_ok=True)
    stem = loaded(cached, "onnx").networks._stem
    (graph,) = artefacts.cache_dir().glob(f"{stem}-128x64.onnx")
    whole = graph.read_bytes()
    if damage == "a bit":
        graph.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    elif damage == "no graph":
        graph.unlink()
    else:
        graph.with_suffix(".yaml").write_text("file: [")
    written = []

    def write_graph(module, size, file):
        written.append(size)
        file.write_bytes(whole)

    monkeypatch.setattr(artefacts, "write_graph", write_graph)
    assert len(loaded(cached, "onnx").run(IMAGE).instances) > 0
    assert written == [(64, 128)]
    assert caplog.text.count("is made anew") == 1


@pytest.mark.parametrize("name", ["{stem}-128x64 copy.yaml", "{stem}-old.yaml", "{stem}-1x.yaml"])
def test_files_of_other_names_beside_graphs_are_passed_over(cached, tmp_path, monkeypatch, name):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shutil.copytree(Path(cached).parent / "cache", tmp_path, dirs_exist_ok=True)
    networks = loaded(cached, "onnx").networks
    (artefacts.cache_dir() / name.format(stem=networks._stem)).write_text("file: net.onnx")
    assert networks._known() == [(64, 128)]


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(small, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    words = "graphs cannot be kept: .*; let XDG_CACHE_HOME name a folder .*file/panoptic_ros/eng"
    with pytest.raises(OSError, match=words):
        loaded(small, "onnx")


def test_several_processes_may_make_a_graph_at_once(cached, tmp_path, monkeypatch):
    """Another one takes a damaged description away, and writes its own while this one exports."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shutil.copytree(Path(cached).parent / "cache", tmp_path, dirs_exist_ok=True)
    stem = loaded(cached, "onnx").networks._stem
    (graph,) = artefacts.cache_dir().glob(f"{stem}-128x64.onnx")
    whole, description = graph.read_bytes(), graph.with_suffix(".yaml")
    written = description.read_text()
    description.write_text("file: [")
    load, describe = artefacts.load_description, artefacts.describe

    def load_description(file, task):
        if file.read_text() == "file: [":
            file.unlink()
            raise ValueError("damaged")
        return load(file, task)

    def describe_late(file, *rest, **kinds):
        assert file.parent != description.parent
        description.write_text(written)
        describe(file, *rest, **kinds)

    monkeypatch.setattr(artefacts, "load_description", load_description)
    monkeypatch.setattr(artefacts, "describe", describe_late)
    monkeypatch.setattr(artefacts, "write_graph", lambda _, size, file: file.write_bytes(whole))
    assert len(loaded(cached, "onnx").run(IMAGE).instances) > 0
    assert {f.suffix for f in artefacts.cache_dir().iterdir()} == {".onnx", ".yaml"}


def test_another_version_of_the_runtime_has_a_graph_of_its_own(cached, monkeypatch):
    monkeypatch.setattr(artefacts, "version_of", lambda runtime: "another")
    monkeypatch.setattr(artefacts, "write_graph", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loaded(cached, "onnx")


def test_tensorrt_is_refused_where_it_is_not(cached):
    words = r"engine tensorrt: TensorRT is missing: it needs a CUDA device .* the device is cpu"
    with pytest.raises(ValueError, match=words):
        loaded(cached, "tensorrt")


def test_tensorrt_is_there_with_its_provider_and_a_device(monkeypatch, tmp_path):
    cuda = torch.device("cuda:1")
    assert not engines.ENGINES["tensorrt"].is_there(cuda)
    monkeypatch.setattr(runtimes, "_available", lambda: [runtimes.TENSORRT, runtimes.CUDA])
    assert engines.ENGINES["tensorrt"].is_there(cuda)
    assert not engines.ENGINES["tensorrt"].is_there(torch.device("cpu"))
    assert runtime_of("auto", cuda) == "tensorrt"
    graph = object.__new__(runtimes.TensorRtGraph)
    graph._half = True
    file = tmp_path / "model.onnx"
    file.write_bytes(b"Conv")
    first, second, last = graph._providers(file, cuda)
    assert first[1]["trt_engine_cache_path"] == str(tmp_path / "model")
    assert not first[1]["trt_int8_enable"]
    file.write_bytes(b"Conv QuantizeLinear")
    assert graph._providers(file, cuda)[0][1]["trt_int8_enable"]
    assert [first[0], second, last] == [
        runtimes.TENSORRT,
        (runtimes.CUDA, {"device_id": 1}),
        runtimes.CPU_PROVIDER,
    ]


def test_a_cuda_graph_is_refused_without_a_device(small):
    words = "engine cuda_graph: it needs a CUDA device, the device is cpu"
    with pytest.raises(ValueError, match=words):
        loaded(small, "cuda_graph")


@pytest.mark.parametrize("riders", [False, True])
@pytest.mark.parametrize("frame", [IMAGE, np.kron(IMAGE, np.ones((2, 2, 1), np.uint8))])
def test_what_a_graph_gives_is_read_as_torchs_answer(tmp_path, monkeypatch, frame, riders):
    monkeypatch.setattr(cuda_graph_engine, "Captured", RunAtOnce)
    file = model(tmp_path)
    pipeline = loaded(file, "eager")
    networks = pipeline.networks
    networks.instances.finds_riders = riders
    semantic, instances = networks(frame)
    graphed = cuda_graph_engine.GraphedNetworks(networks, half=True)
    laps = []
    logits, found = graphed(frame, laps.append)
    # Stages that the node publishes the times of.
    assert sorted(laps) == ["instances", "semantic"]
    torch.testing.assert_close(logits.logits, semantic.logits, atol=1e-4, rtol=1e-4)
    assert logits.image_size == frame.shape[:2]
    assert found.class_ids.tolist() == instances.class_ids.tolist()
    torch.testing.assert_close(found.scores, instances.scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.boxes, instances.boxes, atol=1e-2, rtol=0)
    assert found.all_finite()
    # Rounds of suppression that were too few: torch's turn.
    monkeypatch.setattr(RunAtOnce, "final", False)
    assert torch.equal(graphed(frame)[1].boxes, instances.boxes)
    # As is every size too many.
    monkeypatch.setattr(cuda_graph_engine, "MOST_SIZES", 1)
    assert graphed(frame[:, :64])[0].image_size == (len(frame), 64)


def test_a_graph_that_cannot_be_captured_is_told(small, monkeypatch):
    def fail(*_):
        raise RuntimeError("operation not permitted when stream is capturing\nand much more")

    monkeypatch.setattr(cuda_graph_engine, "Captured", fail)
    with pytest.raises(ValueError, match="CUDA cannot capture these networks: operation not perm"):
        cuda_graph_engine.GraphedNetworks(loaded(small, "eager").networks, half=True)


def test_a_further_size_that_cannot_be_captured_is_torchs(tmp_path, monkeypatch, caplog):
    calls = []

    def fail(*_):
        calls.append(1)
        raise RuntimeError("CUDA out of memory\nand much more")

    monkeypatch.setattr(cuda_graph_engine, "Captured", RunAtOnce)
    networks = loaded(model(tmp_path), "eager").networks
    graphed = cuda_graph_engine.GraphedNetworks(networks, half=True)
    monkeypatch.setattr(cuda_graph_engine, "Captured", fail)
    square = np.ascontiguousarray(IMAGE[:, : len(IMAGE)])
    for _ in range(2):
        found = graphed(square)[1]
        assert torch.equal(found.boxes, networks(square)[1].boxes)
    assert len(calls) == 1
    assert "torch runs images of" in caplog.text
    assert "out of memory" in caplog.text


def test_without_a_name_a_gpu_gets_a_graph_and_torch_where_there_can_be_none(
    small, monkeypatch, caplog
):
    config = load_model_config(small)
    assert config.engine == engines.DEFAULT
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert engines.named_or_default("", cpu) == "eager"
    assert engines.named_or_default("onnx", cpu) == "onnx"
    networks = loaded(small, None).networks
    assert isinstance(networks, SeparatePredictors)
    monkeypatch.setattr(cuda_graph_engine, "is_there", lambda device: True)
    monkeypatch.setattr(cuda_graph_engine, "Captured", RunAtOnce)
    assert engines.named_or_default("", cuda) == "cuda_graph"
    graphed = loaded(small, None)
    assert isinstance(graphed.networks, cuda_graph_engine.GraphedNetworks)
    times = graphed.run(IMAGE).timings
    assert set(times) == {"upload", "semantic", "instances", "fusion", "total"}
    assert not caplog.records

    def fail(*_):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(cuda_graph_engine, "Captured", fail)
    assert isinstance(loaded(small, None).networks, SeparatePredictors)
    assert "not permitted when stream is capturing" in caplog.text


def _onnx_on_cuda():
    onnxruntime = pytest.importorskip("onnxruntime")
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ["onnx", "tensorrt", "cuda_graph"])
@pytest.mark.parametrize("model", ["town", "town_shared", "town_fast"])
def test_an_engine_of_a_gpu_gives_what_torch_gives(model, engine):
    device = torch.device("cuda")
    if not engines.ENGINES[engine].is_there(device) or (engine == "onnx" and not _onnx_on_cuda()):
        pytest.skip(f"{engine} is not installed for CUDA")
    image = read_picture(share_dir() / "sample" / "town_street.jpg")
    found, eager = (
        PanopticPipeline.load(model, device="cuda", engine=name).run(image).panoptic
        for name in (engine, "eager")
    )
    assert len(found.segments) == pytest.approx(len(eager.segments), abs=2)
    # Half precision rounds a little differently in each.
    assert (found.labels == eager.labels).mean() >= 0.98


class _Made(TorchDispatchMode):
    """Count the tensors that are made of Python's numbers."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten.lift_fresh.default
        return func(*args, **(kwargs or {}))


def test_a_graph_makes_each_constant_once():
    with _Made() as made, cuda_graph_engine.Constants():
        first, again = torch.tensor(0.5), torch.tensor(0.5)
        again += 1
        other, third = torch.tensor([0.5, 1]), torch.tensor(0.5)
    assert made.count == 2
    assert (first, third, other.tolist()) == (0.5, 0.5, [0.5, 1])


def test_auto_takes_the_fastest_that_works(small, monkeypatch, caplog):
    def fake(seconds, there=True, fails=False):
        def prepare(networks, key, half):
            if fails:
                raise fails("it has no wheels")
            return SimpleNamespace(seconds=seconds)

        return SimpleNamespace(is_there=lambda device: there, prepare=prepare)

    fakes = {"slow": fake(3), "quick": fake(1), "absent": fake(0, there=False)}
    fakes |= {"broken": fake(0, fails=ValueError), "full": fake(0, fails=PermissionError)}
    monkeypatch.setattr(engines, "ENGINES", fakes)
    monkeypatch.setattr(
        engines, "_seconds", lambda networks, image: getattr(networks, "seconds", 2)
    )
    with caplog.at_level(logging.INFO):
        chosen = engines.run_by("auto", loaded(small, "eager").networks, "key", True)
    assert chosen.seconds == 1
    assert "engine quick is the fastest here" in caplog.text
    for name in ("broken", "full"):
        assert f"engine {name} is left out: it has no wheels" in caplog.text


def test_auto_takes_torch_where_no_engine_can_run_the_networks(tmp_path, caplog):
    file = model(tmp_path, semantic={**SMALL["semantic"], "short_side": 96})
    assert isinstance(loaded(file, "auto").networks, SeparatePredictors)
    assert "engine eager: its networks see a frame at different sizes" in caplog.text


class Compiled(torch.nn.Module):
    """Stand for what torch.compile makes, which takes it minutes, and count its calls."""

    def __init__(self, module, fails=False):
        super().__init__()
        self.module, self.fails, self.calls = module, fails, 0

    def forward(self, images):
        if self.fails:
            raise RuntimeError("no C++ compiler\nand much more")
        self.calls += 1
        return self.module(images)


def test_backbone_and_semantic_network_are_compiled_and_warm(small, eager, monkeypatch):
    stances = []
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: Compiled(module))
    monkeypatch.setattr(torch.compiler, "set_stance", stances.append)
    pipeline = loaded(small, "compile")
    # Other sizes are not compiled while frames come.
    assert stances == ["default", "eager_on_recompile"]
    parts = pipeline.networks.semantic.network, pipeline.networks.instances.network.backbone
    assert [part.calls for part in parts] == [1, 1]
    assert (pipeline.run(IMAGE).panoptic.labels == eager.panoptic.labels).all()


def test_nothing_is_compiled_where_frames_decide_the_size(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: Compiled(module))
    halves = {part: {**SMALL[part], "short_side": 0, "long_side": 0} for part in PARTS}
    pipeline = loaded(model(tmp_path, **halves), "compile")
    assert not isinstance(pipeline.networks.semantic.network, Compiled)
    assert "this model fixes no size to compile for" in caplog.text


def test_a_compiler_that_fails_is_told(small, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: Compiled(module, fails=True))
    words = r"model 'small', engine compile: torch.compile failed: no C\+\+ compiler$"
    with pytest.raises(ValueError, match=words):
        loaded(small, "compile")


def test_networks_that_see_different_sizes_need_torch(tmp_path):
    file = model(tmp_path, semantic={**SMALL["semantic"], "short_side": 96})
    with pytest.raises(
        ValueError, match="engine onnx: its networks see a frame at different sizes"
    ):
        loaded(file, "onnx")


def test_a_package_that_is_missing_is_told(cached, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ValueError, match="openvino is missing: `pip install openvino`"):
        loaded(cached, "openvino")


def test_an_onnx_file_has_a_runtime_of_its_own():
    cpu = torch.device("cpu")
    assert runtime_of("eager", cpu) == runtime_of("onnx", cpu) == "onnx"
    assert runtime_of("openvino", cpu) == "openvino"
    assert runtime_of("tensorrt", cpu, half=True) == "tensorrt"
    assert runtime_of("tensorrt", cpu, half=False) == "tensorrt_float32"
    with pytest.raises(ValueError, match="engine compile is not for an ONNX file"):
        runtime_of("compile", cpu)


def test_the_engines_have_the_names_that_model_files_know():
    assert (engines.EAGER, *engines.ENGINES, engines.AUTO) == ENGINES
