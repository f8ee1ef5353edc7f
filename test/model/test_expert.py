import numpy as np
import pytest
import torch
import yaml
from exported import describe, export
from model_file import write
from open_zoo import ROAD, road_network
from torch import nn

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model import build
from panoptic_ros.model.build import build_predictors
from panoptic_ros.model.config import load_model_config
from panoptic_ros.model.expert import ExpertPredictor, decided
from panoptic_ros.model.export import _model
from panoptic_ros.prediction import SemanticPrediction

ROAD_ID, SIDEWALK, CAR = 0, 1, 13


def prediction(logits, other=None):
    return SemanticPrediction(torch.tensor(logits), (2, 4), CITYSCAPES, other)


def scores(*best):
    """Return logits [19, 1, n], the classes of each pixel from the best on, a unit apart."""
    logits = np.full((19, 1, len(best)), -9.0, np.float32)
    for x, classes in enumerate(best):
        for place, channel in enumerate(classes):
            logits[channel, 0, x] = 5 - place
    return logits


def test_the_expert_decides_its_class_and_no_other():
    semantic = prediction(scores([ROAD_ID, CAR], [CAR, SIDEWALK], [SIDEWALK, ROAD_ID], [CAR]))
    probability = torch.tensor([[0.4, 0.6, 0.4, 0.6]])
    opinion = SemanticPrediction(
        torch.full((19, 1, 4), -30.0).index_fill(0, torch.tensor(ROAD_ID), 0.0)
        + probability.logit(), (2, 4), CITYSCAPES, torch.zeros(1, 4)
    )  # fmt: skip
    found = decided(semantic, opinion, ROAD_ID)
    assert found.logits.argmax(0).tolist() == [[CAR, ROAD_ID, SIDEWALK, ROAD_ID]]
    rest = [i for i in range(19) if i != ROAD_ID]
    torch.testing.assert_close(found.logits[rest], semantic.logits[rest])
    torch.testing.assert_close(
        found.logits[ROAD_ID] - found.logits[rest].amax(0), probability.logit()
    )


def test_where_it_gives_road_nothing_stays_unlabeled_and_road_may_become_so():
    semantic = prediction(scores([CAR], [ROAD_ID]), torch.tensor([[9.0, 4.9]]))
    opinion = prediction(scores([ROAD_ID], [CAR]), torch.tensor([[0.0, 9.0]]))
    found = decided(semantic, opinion, ROAD_ID)
    assert found.scores.argmax(0).tolist() == [[ROAD_ID, len(CITYSCAPES)]]


def test_a_finer_opinion_is_averaged():
    fine = torch.full((19, 2, 4), -30.0)
    fine[ROAD_ID] = torch.tensor([[8.0, 8, -8, -8], [8, -8, -8, -8]])
    opinion = SemanticPrediction(fine, (2, 4), CITYSCAPES, torch.zeros(2, 4))
    found = decided(prediction(scores([CAR], [CAR])), opinion, ROAD_ID)
    assert found.logits.argmax(0).tolist() == [[ROAD_ID, CAR]]


def test_a_model_file_names_its_expert(tmp_path, monkeypatch):
    monkeypatch.setenv("PANOPTIC_WEIGHTS", str(tmp_path))
    road_network(tmp_path / f"{ROAD}.xml")
    content = {"file": f"{ROAD}.xml", "task": "semantic", "classes": [None, "road", None, "road"]}
    content |= {"output": {"kind": "probabilities"}, "input": {"color": "BGR", "scale": 1}}
    (tmp_path / f"{ROAD}.yaml").write_text(yaml.safe_dump(content))
    config = load_model_config(write(tmp_path / "small.yaml", expert={"weights": ROAD}))
    networks, head = build_predictors(config, "cpu")
    assert head is not None
    image = np.zeros((64, 96, 3), np.uint8)
    image[32:, :, 0] = 255
    laps = []
    semantic, _ = networks(image, laps.append)
    classes = semantic.class_map()
    assert np.unique(classes[36:]).tolist() == [7]
    assert 7 not in classes[:28]
    assert laps == ["semantic", "instances"]
    assert _model(config, "net.yaml", "auto")["expert"] == {"weights": ROAD}


@pytest.mark.parametrize("engine", ["compile", "cuda_graph"])
def test_an_expert_has_a_runtime_beside_engines_of_torch(tmp_path, monkeypatch, engine):
    monkeypatch.setenv("PANOPTIC_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(build, "run_by", lambda name, networks, key, half: networks)
    road_network(tmp_path / f"{ROAD}.xml")
    content = {"file": f"{ROAD}.xml", "task": "semantic", "classes": [None, "road", None, "road"]}
    content |= {"output": {"kind": "probabilities"}}
    (tmp_path / f"{ROAD}.yaml").write_text(yaml.safe_dump(content))
    file = write(tmp_path / "small.yaml", expert={"weights": ROAD}, engine=engine)
    networks, _ = build_predictors(load_model_config(file), "cpu")
    assert isinstance(networks, ExpertPredictor)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("road-segmentation-adas-0001", "weights fetch road-segmentation-adas-0001"),
        ("town/semantic", "no described network .*write the path of its description"),
        ("./no.yaml", "no ONNX description"),
    ],
)
def test_an_expert_that_is_not_there_is_named(tmp_path, monkeypatch, weights, words):
    # Whoever runs this may have fetched it.
    monkeypatch.setattr("panoptic_ros.checkpoints.places.folders", lambda: [tmp_path])
    config = load_model_config(write(tmp_path / "small.yaml", expert={"weights": weights}))
    with pytest.raises(FileNotFoundError, match=f"model 'small', expert: .*{words}"):
        build_predictors(config, "cpu")


@pytest.mark.parametrize("classes", [["road", "car", None], ["road", "road", "road"]])
def test_an_expert_must_tell_one_class_from_all_else(tmp_path, classes):
    export(nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 64, 96), tmp_path, ["logits"])
    describe(tmp_path, task="semantic", classes=classes)
    config = load_model_config(write(tmp_path / "small.yaml", expert={"weights": "./net.yaml"}))
    with pytest.raises(ValueError, match=r"model 'small', expert: .*must name one class"):
        build_predictors(config, "cpu")
