import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from model_file import SMALL, write

from panoptic_ros.model import engines
from panoptic_ros.model.config import ENGINES, load_model_config
from panoptic_ros.model.engines import artefacts, runtime_of
from panoptic_ros.pipeline import PanopticPipeline

IMAGE = np.random.default_rng(1).integers(0, 256, (64, 128, 3), np.uint8)
OPTIONS = {"score_threshold": 0.0, "stuff_area_limit": 0}


def model(folder, **changes):
    """Write a model file of two small networks that see frames at 128x64."""
    halves = {
        part: {**SMALL[part], "short_side": 64, "long_side": 128}
        for part in ("semantic", "instances")
    }
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
    assert load_model_config(model(tmp_path)).engine == "eager"
    assert load_model_config(model(tmp_path, engine="onnx")).engine == "onnx"
    with pytest.raises(ValueError, match=r"engine is 'warp'; known: eager, onnx, openvino"):
        load_model_config(model(tmp_path, engine="warp"))


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


def test_a_frame_of_another_size_is_prepared_or_given_to_torch(cached, eager, monkeypatch, caplog):
    monkeypatch.setattr(artefacts, "MOST_SIZES", 1)
    with caplog.at_level(logging.INFO):
        square = loaded(cached, "onnx").run(IMAGE[:, :64])
    assert square.panoptic.labels.shape == (64, 64)
    assert "preparing" not in caplog.text


def test_auto_takes_the_fastest_that_works(small, monkeypatch, caplog):
    def fake(seconds, there=True, fails=False):
        def prepare(networks, key):
            if fails:
                raise ValueError("it has no wheels")
            return SimpleNamespace(seconds=seconds)

        return SimpleNamespace(is_there=lambda device: there, prepare=prepare)

    fakes = {"slow": fake(3), "quick": fake(1), "absent": fake(0, there=False)}
    monkeypatch.setattr(engines, "ENGINES", {**fakes, "broken": fake(0, fails=True)})
    monkeypatch.setattr(
        engines, "_seconds", lambda networks, image: getattr(networks, "seconds", 2)
    )
    with caplog.at_level(logging.INFO):
        chosen = engines.run_by("auto", loaded(small, "eager").networks, "key")
    assert chosen.seconds == 1
    assert "engine quick is the fastest here" in caplog.text
    assert "engine broken is left out: it has no wheels" in caplog.text


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
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: Compiled(module))
    pipeline = loaded(small, "compile")
    parts = pipeline.networks.semantic.network, pipeline.networks.instances.network.backbone
    assert [part.calls for part in parts] == [1, 1]
    assert (pipeline.run(IMAGE).panoptic.labels == eager.panoptic.labels).all()


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
    with pytest.raises(ValueError, match="an ONNX file cannot be compiled"):
        runtime_of("compile", cpu)


def test_the_engines_have_the_names_that_model_files_know():
    assert (engines.EAGER, *engines.ENGINES, engines.AUTO) == ENGINES
