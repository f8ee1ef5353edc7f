from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import random_scene

from panoptic_ros.fusion import STRATEGIES, FusionOptions, make_strategy
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.networks import PanopticHead, SpatialRanking

THINGS = [c.id for c in CITYSCAPES.things]
OPTIONS = FusionOptions(stuff_area_limit=0)
HEADS = {
    "conv_head": lambda: PanopticHead(THINGS, len(CITYSCAPES)),
    "spatial_ranking": lambda: SpatialRanking(THINGS),
}


def _head(name):
    torch.manual_seed(0)
    return HEADS[name]().eval() if name in HEADS else None


def _on(device, semantic, instances):
    fields = ("boxes", "class_ids", "scores", "masks")
    moved = {name: getattr(instances, name).to(device) for name in fields}
    return replace(semantic, logits=semantic.logits.to(device)), replace(instances, **moved)


@pytest.mark.parametrize("veto", [1.0, 0.7])
@pytest.mark.parametrize("name", STRATEGIES)
def test_without_instances_every_strategy_gives_the_stuff(name, veto):
    semantic, instances = random_scene(2, count=3)
    options = replace(OPTIONS, semantic_veto=veto)
    found = make_strategy(name, _head(name))(semantic, instances[:0], options)
    stuff = {c.id for c in CITYSCAPES.stuff}
    assert {s.id for s in found.segments} <= stuff
    assert set(np.unique(found.labels)) <= stuff | {0}


@pytest.mark.gpu
@pytest.mark.parametrize("veto", [1.0, 0.7])
@pytest.mark.parametrize("count", [0, 1, 20])
@pytest.mark.parametrize("name", STRATEGIES)
def test_the_gpu_gives_the_same(name, count, veto):
    scene = random_scene(2, count=max(count, 1))
    scene = (scene[0], scene[1][:count])
    options = replace(OPTIONS, semantic_veto=veto)
    head = _head(name)
    expected = make_strategy(name, head)(*scene, options)
    on_gpu = None if head is None else head.cuda()
    found = make_strategy(name, on_gpu)(*_on("cuda", *scene), options)
    assert (found.labels != expected.labels).mean() <= 2e-3
