"""The smallest task that the loop can train, and a way to train it in two processes."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from panoptic_ros.training.loop import train
from panoptic_ros.training.settings import OptimizerConfig, TrainingConfig
from panoptic_ros.training.task import Task, Trainee

VALIDATION_FRAMES = 5


class LinearTrainee(Trainee):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 1))

    @property
    def backbone(self):
        return self.network[0]

    def forward(self, batch):
        x, y = batch
        return {"square": (self.network(x)[:, 0] - y).square().mean()}


class LinearSamples(torch.utils.data.Dataset):
    def __getitem__(self, sample):
        x = torch.randn(3, generator=torch.Generator().manual_seed(sample))
        return x, x.sum()


class LinearTask(Task):
    def __init__(self, dropout=0.2, warmup=2, backbone_lr=1.0, **settings):
        settings = {"steps": 8, "checkpoint_interval": 3, "log_interval": 1, **settings}
        self.notes = {}
        self.config = TrainingConfig(
            architecture={},
            batch_size=4,
            workers=0,
            optimizer=OptimizerConfig(lr=0.05, warmup=warmup, backbone_lr=backbone_lr),
            **settings,
        )
        torch.manual_seed(0)
        self.trainee = LinearTrainee()
        self.trainee.network[1].p = dropout
        self.samples = LinearSamples()

    def collate(self, samples):
        return torch.utils.data.default_collate(samples)

    def validate(self, trainee, share):
        return np.array([len(range(VALIDATION_FRAMES)[share[0] :: share[1]])])

    def scores(self, trainee, counts):
        return {"frames": float(counts[0])}


if __name__ == "__main__":
    outcome = train(LinearTask(dropout=0.0), Path(sys.argv[1]))
    if outcome.is_main:
        found = {
            "processes": outcome.processes,
            "frames": outcome.scores["frames"],
            "weights": outcome.trainee.state_dict(),
        }
        torch.save(found, Path(sys.argv[1]) / "outcome.pt")
