import pytest

from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.ros.parameters import Parameters
from panoptic_ros.ros.served_model import ServedModel


@pytest.mark.parametrize("engine", ["", "onnx", "auto"])
def test_weights_device_and_engine_are_the_parameters(monkeypatch, engine):
    asked = []

    def load(weights, **options):
        asked.append((weights, options))
        raise ValueError("no networks in this test")

    monkeypatch.setattr(PanopticPipeline, "load", load)
    with pytest.raises(ValueError, match="no networks in this test"):
        ServedModel(Parameters(weights="random", device="cpu", engine=engine))
    assert asked == [("random", {"device": "cpu", "engine": engine})]
