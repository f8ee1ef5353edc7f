import json

import numpy as np
import pytest
import torch
import toy
from model_file import write
from oracle import Oracle
from shared_network import architecture

from panoptic_ros.checkpoints import read_side_file, save
from panoptic_ros.datasets import open_dataset
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.networks import PanopticHead, build
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.resources import share_dir
from panoptic_ros.training import frozen
from panoptic_ros.training.head import HeadConfig, HeadTask, HeadTrainee
from panoptic_ros.training.head_inputs import HeadInputs, prepare
from panoptic_ros.training.loop import train
from panoptic_ros.training.runs import start
from panoptic_ros.training.settings import read

PERSON, CAR = 24, 26


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    data = toy.write(tmp_path_factory.mktemp("toy"), frames=6)
    return [open_dataset("cityscapes", data, split) for split in ("train", "val")]


@pytest.fixture
def oracle(splits, monkeypatch):
    oracle = Oracle([*splits[0], *splits[1]])
    monkeypatch.setattr(frozen, "build_networks", lambda config, device: oracle)
    return oracle


HEAD_SETTINGS = share_dir() / "config" / "training" / "head.yaml"


def _config(*overrides):
    settings = ["semantic=s", "instance=i", "workers=0", "batch_size=8", "selection_stride=3"]
    return read(HeadConfig, HEAD_SETTINGS, [*settings, *overrides])


def test_samples_hold_the_stack_that_the_head_sees(splits, oracle, tmp_path):
    frames = splits[0][:2]
    prepare(tmp_path, frames, oracle, least_score=0.5)
    inputs = HeadInputs(tmp_path, frames, CITYSCAPES, radius=2)
    assert len(inputs.entries) == 8
    entry = next(e for e in inputs.entries if e.value == 26000 and e.frame == 1)
    sample = inputs.sample(entry, window=10_000, rng=np.random.default_rng(0))
    height, width = sample.target.shape
    assert sample.stacked.shape == (20, height + 4, width + 4)
    assert sample.class_id == CAR
    assert sample.target.sum() == 30 * 60
    # The semantic mask of cars is the target, where no other car is near.
    channel = CITYSCAPES.ids.tolist().index(CAR)
    inner = sample.stacked[1 + channel, 2:-2, 2:-2]
    assert ((inner > 0.5).float() == sample.target).float().mean() > 0.99
    assert sample.stacked[1:].sum(0)[2:-2, 2:-2].sub(1).abs().max() < 1e-4


def test_a_window_shows_a_part(splits, oracle, tmp_path):
    frames = splits[0][:1]
    prepare(tmp_path, frames, oracle, least_score=0.5)
    inputs = HeadInputs(tmp_path, frames, CITYSCAPES, radius=2)
    entry = next(e for e in inputs.entries if e.class_id == CAR)
    sample = inputs.sample(entry, window=24, rng=np.random.default_rng(0))
    assert sample.target.shape == (24, 24)
    assert 0 < sample.target.sum() <= 24 * 24


def test_predictions_are_made_once(splits, oracle, tmp_path):
    def never(image):
        raise AssertionError("predicted again")

    prepare(tmp_path, splits[0][:1], oracle, least_score=0.5)
    prepare(tmp_path, splits[0][:1], never, least_score=0.5)
    # A killed run leaves no index and starts anew.
    (tmp_path / "index.json").unlink()
    with pytest.raises(AssertionError, match="predicted again"):
        prepare(tmp_path, splits[0][:1], never, least_score=0.5)


def test_predictions_of_another_training_are_not_taken(splits, oracle, tmp_path):
    HeadTask(_config(), *splits, tmp_path)
    HeadTask(_config("steps=7"), *splits, tmp_path)
    with pytest.raises(ValueError, match=r"least_score was 0.5 and is 0.7; choose another --run"):
        HeadTask(_config("least_score=0.7"), *splits, tmp_path)
    fewer = splits[0][1:], splits[1]
    with pytest.raises(ValueError, match=r"frames of train was 6 \(\w+\) and is 5 \(\w+\)"):
        HeadTask(_config(), *fewer, tmp_path)
    # A killed run's are made anew, by whatever settings.
    for split in ("train", "val"):
        (tmp_path / "inputs" / split / "index.json").unlink()
    HeadTask(_config("least_score=0.7"), *splits, tmp_path)
    # Those of an earlier version do not say what they are of.
    (tmp_path / "inputs" / "made_of.json").unlink()
    HeadTask(_config(), *splits, tmp_path)


def test_detections_of_a_low_score_are_no_samples(splits, oracle, tmp_path):
    prepare(tmp_path, splits[0][:1], oracle, least_score=0.95)
    assert json.loads((tmp_path / "index.json").read_text()) == []


def test_an_untrained_head_equals_the_heuristic(splits, oracle, tmp_path):
    task = HeadTask(_config(), *splits, tmp_path)
    counts = task.validate(task.trainee, (0, 1))
    assert counts[1, :, 2].sum() == 8
    assert counts[..., 1] == pytest.approx(counts[..., 0])
    halves = [task.validate(task.trainee, (i, 2)) for i in (0, 1)]
    assert np.allclose(sum(halves), counts)


def test_training_beats_the_heuristic_and_leaves_unseen_classes_alone(splits, oracle, tmp_path):
    config = _config("steps=30", "validation_interval=15", "optimizer.lr=0.03")
    outcome = train(HeadTask(config, *splits, tmp_path), tmp_path)
    scores = outcome.scores
    for name in ("person", "car"):
        assert scores[f"head {name}"] > scores[f"heuristic {name}"] + 5
        assert scores[f"instances {name}"] == 4
    assert "head train" not in scores
    identity = PanopticHead([31]).cnn(31).state_dict()
    best = outcome.trainee.best.cnn(31).state_dict()
    assert all(torch.equal(best[k], identity[k]) for k in identity)


def test_the_best_begins_as_the_identity_whatever_the_head_starts_from():
    head = PanopticHead([CAR])
    with torch.no_grad():
        head.cnn(CAR).mix.bias.fill_(3.0)
    assert HeadTrainee(head).best.cnn(CAR).mix.bias.item() == -4
    assert head.cnn(CAR).mix.bias.item() == 3


def test_a_class_that_gets_worse_keeps_its_best_state(splits, oracle, tmp_path):
    task = HeadTask(_config(), *splits, tmp_path)
    trainee, row = task.trainee, task.trainee.network.class_ids.index(CAR)
    counts = np.zeros((2, 8, 3))
    # Heuristic 0.6 on the selection frames, 0.5 on the validation split.
    counts[0, row], counts[1, row] = (6, 5, 10), (2, 1, 4)
    worse = task.scores(trainee, counts)
    assert (worse["heuristic car"], worse["head car"]) == (50, 50)
    with torch.no_grad():
        trainee.network.cnn(CAR).mix.bias.fill_(1.5)
    counts[0, row, 1], counts[1, row, 1] = 8, 3
    assert task.scores(trainee, counts)["head car"] == 75
    assert trainee.best.cnn(CAR).mix.bias.item() == 1.5
    assert trainee.best.cnn(PERSON).mix.bias.item() == -4
    with torch.no_grad():
        trainee.network.cnn(CAR).mix.bias.fill_(9.0)
    counts[0, row, 1], counts[1, row, 1] = 7, 4
    assert task.scores(trainee, counts)["head car"] == 75
    assert trainee.best.cnn(CAR).mix.bias.item() == 1.5


def test_any_model_gives_the_frozen_networks(splits, tmp_path):
    settings = [f"model={write(tmp_path / 'small.yaml')}", "least_score=0.0"]
    # Untrained networks find nothing, but they were asked for every frame.
    with pytest.raises(ValueError, match="the frozen networks find no instance in the training"):
        HeadTask(read(HeadConfig, HEAD_SETTINGS, settings), *splits, tmp_path)
    folder = tmp_path / "inputs" / "train"
    assert len(list(folder.glob("*.pt"))) == len(splits[0])
    stored = torch.load(folder / "000000.pt", weights_only=True)
    assert stored["logits"].shape[0] == len(CITYSCAPES)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["semantic=s", "instance=i", "model=m"], "set model, or network, or semantic and"),
        (["semantic=s", "network=n"], "set model, or network, or semantic and instance: one"),
        (["model=m", "network=n"], "set model, or network, or semantic and instance: one"),
        (["semantic=s"], r"set instance: .* \(or set model, or network\)"),
        ([], r"set semantic: .* \(or set model, or network\)"),
    ],
)
def test_what_is_frozen_is_said_once(settings, words):
    with pytest.raises(ValueError, match=words):
        read(HeadConfig, HEAD_SETTINGS, settings)


@pytest.mark.parametrize(
    ("kind", "fusion"), [("head", "conv_head"), ("ranking", "spatial_ranking")]
)
def test_what_merges_trains_on_a_shared_network_and_runs_on_it(
    kind, fusion, splits, oracle, tmp_path
):
    network = save_shared(tmp_path / "panoptic")
    data = splits[0][0].image.parents[3]
    small = ["workers=0", "batch_size=2", "steps=1", f"network={network}"]
    settings = HEAD_SETTINGS.with_name(f"{kind}.yaml")
    start(kind, settings, small, data, tmp_path / "run", tmp_path / "head", "")
    digest = read_side_file(network)["sha256"]
    assert read_side_file(tmp_path / "head")["trained_for"] == {"network": digest}
    model = tmp_path / "shared.yaml"
    model.write_text(
        f"label_set: cityscapes\nfusion: {fusion}\n"
        "network: {weights: ./panoptic}\nhead: {weights: ./head}\n"
    )
    pipeline = PanopticPipeline.load(str(model), device="cpu")
    assert pipeline.fusion_name == fusion
    image = splits[1][0].load_image()
    assert pipeline(image).labels.shape == image.shape[:2]


def save_shared(path):
    save(
        build(architecture()),
        path,
        architecture=architecture(),
        label_set="cityscapes",
        command="",
        data={},
        seed=0,
        scores={},
    )
    return path
