from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from oracle import Oracle
from torchvision.ops import masks_to_boxes

from panoptic_ros.fusion import FusionOptions, make_strategy
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import InstancePrediction
from panoptic_ros.resources import share_dir
from panoptic_ros.training import frozen
from panoptic_ros.training.frozen import FrozenConfig
from panoptic_ros.training.loop import train
from panoptic_ros.training.ranking import RankingTask
from panoptic_ros.training.settings import read

PERSON, CAR = 24, 26


@dataclass(frozen=True)
class Frame:
    """A person before a car on a road."""

    seed: int
    image = Path(__file__)

    @property
    def name(self):
        return str(self.seed)

    def load_instance_ids(self):
        ids = np.full((64, 128), 7, np.uint16)
        left = int(np.random.default_rng(self.seed).integers(10, 50))
        ids[20:50, left : left + 40] = 1000 * CAR
        ids[10:48, left + 12 : left + 28] = 1000 * PERSON
        return ids

    def load_image(self):
        return np.random.default_rng(self.seed).integers(0, 256, (64, 128, 3)).astype(np.uint8)


class SureOfCars(Oracle):
    """Each mask fills the box of what is seen: the car's the person's place, too.

    The car has the better score.
    """

    def _instances(self, image):
        ids = torch.from_numpy(self._ids[image.tobytes()].astype(np.int32))
        values = torch.tensor([1000 * CAR, 1000 * PERSON])
        boxes = masks_to_boxes(ids == values[:, None, None]) + torch.tensor([0, 0, 1, 1])
        return InstancePrediction(
            boxes, values // 1000, torch.tensor([0.95, 0.8]), torch.ones(2, 28, 28)
        )


TRAIN, VAL = [Frame(seed) for seed in range(4)], [Frame(seed) for seed in range(10, 12)]


@pytest.fixture
def networks(monkeypatch):
    networks = SureOfCars([*TRAIN, *VAL])
    monkeypatch.setattr(frozen, "build_networks", lambda config, device: networks)
    return networks


def task(folder, *settings):
    file = share_dir() / "config" / "training" / "ranking.yaml"
    settings = ["network=n", "workers=0", *settings]
    return RankingTask(read(FrozenConfig, file, settings), TRAIN, VAL, folder)


def test_samples_show_who_is_where_and_who_is_in_front(networks, tmp_path):
    occupied, target = task(tmp_path).samples[0]
    person, car = (task(tmp_path).trainee.network.class_ids.index(i) for i in (PERSON, CAR))
    assert occupied.shape == (8, 64, 128)
    assert (occupied[person].sum(), occupied[car].sum()) == (16 * 38, 40 * 30)
    assert occupied.sum() == occupied[[person, car]].sum()
    assert (target == person).sum() == 16 * 38
    assert (target == car).sum() == 40 * 30 - 16 * 28
    assert set(target.unique().tolist()) == {person, car, 255}


def test_it_learns_who_is_in_front_against_the_scores(networks, tmp_path):
    outcome = train(
        task(tmp_path, "steps=30", "validation_interval=15", "optimizer.lr=0.03"), tmp_path
    )
    scores = outcome.scores
    assert scores == {"by score": 0, "by rank": 100, "contested pixels": 2 * 16 * 28}
    merge = make_strategy("spatial_ranking", outcome.trainee.network)
    image, options = VAL[0].load_image(), FusionOptions(stuff_area_limit=0)
    merged = merge(*networks(image), options)
    truth = VAL[0].load_instance_ids() == 1000 * PERSON
    assert (merged.labels[truth] // 1000 == PERSON).all()
    # Masks stay in the order of the scores, in which they are scored.
    assert [int(crop.mask.sum()) for crop in merged.masks] == [40 * 30, 16 * 38]


def test_validation_counts_add_up_over_processes(networks, tmp_path):
    found = task(tmp_path)
    whole = found.validate(found.trainee, (0, 1))
    assert np.array_equal(sum(found.validate(found.trainee, (i, 2)) for i in (0, 1)), whole)


def test_networks_that_find_nothing_are_told(networks, tmp_path):
    with pytest.raises(ValueError, match="the frozen networks find no instance"):
        task(tmp_path, "least_score=0.99")


def test_another_architecture_is_refused(tmp_path):
    architecture = {"name": "panoptic_head", "class_ids": [c.id for c in CITYSCAPES.things]}
    config = FrozenConfig(architecture=architecture, network="n")
    with pytest.raises(ValueError, match="train ranking needs spatial_ranking"):
        RankingTask(config, TRAIN, VAL, tmp_path)
