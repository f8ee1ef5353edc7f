"""Turn other projects' checkpoints into the package's own networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from panoptic_ros.checkpoints.foreign import Declared, open_tensors
from panoptic_ros.checkpoints.recipes import KINDS, SCORES, Kind, Recipe
from panoptic_ros.checkpoints.state import check_finite, check_fit, load_state, shapes
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.networks import build


@dataclass(frozen=True)
class Converted:
    """Hold a converted network and what its side file says of it.

    architecture: what `networks.build` makes the module from; label_set: its name; notes:
    more for the side file, as JSON can hold it.
    """

    module: nn.Module
    architecture: dict[str, Any]
    label_set: str
    notes: dict[str, Any]


def convert(file: Path, kind: str | None = None) -> Converted:
    """Return the network that a checkpoint of another project holds.

    kind: a key of KINDS; None recognises it by its tensors. Nothing in the file is executed
    (see restricted_pickle.py). Raise FileNotFoundError; ValueError that names the file where
    it is damaged or dangerous, is for another number of classes, or has a tensor missing,
    left over or of another shape.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(KINDS)}")
    with open_tensors(file) as checkpoint:
        found = checkpoint.tensors
        kind = kind or _recognise(found, file)
        _check_classes(KINDS[kind], found, file)
        recipe = KINDS[kind].recipe(found)
        module = build(recipe.architecture).eval()
        load_state(module, _state(module, found, recipe, file), source=str(file))
    notes = {"converted_from": kind, "part": checkpoint.part}
    return Converted(module, recipe.architecture, CITYSCAPES.name, notes)


def _recognise(found: Mapping[str, Declared], file: Path) -> str:
    for name, kind in KINDS.items():
        if kind.mark in found:
            return name
    raise ValueError(
        f"{file} holds {len(found)} tensors, of none of the known kinds ({', '.join(KINDS)}); "
        f"its first is {next(iter(found))[:120]!r}"
    )


def _check_classes(kind: Kind, found: Mapping[str, Declared], file: Path) -> None:
    needed, what = kind.needed
    # Whether the tensor is there at all is for the check of all tensors.
    shape = found[kind.outputs].shape if kind.outputs in found else (needed,)
    if shape[:1] != (needed,):
        raise ValueError(
            f"{file} is for another number of classes: {kind.outputs} has shape {list(shape)}, "
            f"{what} need {needed} outputs"
        )


def _state(
    module: nn.Module, found: Mapping[str, Declared], recipe: Recipe, file: Path
) -> dict[str, Tensor]:
    """Return a module's state from the tensors found; raise ValueError where they do not fit."""
    own = module.state_dict()
    lacking = {name: recipe.lacking.get(name.rpartition(".")[0], 0) for name in own}
    expected = {
        recipe.theirs(name): (tensor.shape[0] - lacking[name], *tensor.shape[1:])
        if lacking[name]
        else tuple(tensor.shape)
        for name, tensor in own.items()
    }
    check_fit(expected, shapes(found), source=str(file))
    state = {}
    for name in own:
        tensor = found[recipe.theirs(name)].tensor()
        check_finite({recipe.theirs(name): tensor}, source=str(file))
        if lacking[name]:
            tensor = torch.cat([tensor.new_zeros(lacking[name], *tensor.shape[1:]), tensor])
        if recipe.background_last and name.startswith(SCORES):
            tensor = tensor.roll(1, 0)
        state[name] = tensor
    return state
