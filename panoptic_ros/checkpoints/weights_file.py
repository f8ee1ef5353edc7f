"""Save networks to, and load them from, NAME.safetensors and its side file NAME.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from panoptic_ros.checkpoints.state import check_finite, load_state
from panoptic_ros.documents import make, mapping, read_json
from panoptic_ros.networks import build
from panoptic_ros.whole_files import replacing, write_file


@dataclass(frozen=True)
class _Needed:
    """Hold what `load` needs; the rest of a side file tells people where weights come from."""

    architecture: Mapping[str, Any]
    label_set: str
    sha256: str
    # Of a head: the SHA-256 of the networks' weights, by part of a model file.
    trained_for: Mapping[str, str] | None = None


def save(
    module: nn.Module,
    path: str | Path,
    *,
    architecture: Mapping[str, Any],
    label_set: str,
    command: str,
    data: Any,
    seed: int | None,
    scores: Mapping[str, float],
    half_precision: bool = False,
    **notes: Any,
) -> None:
    """Write a network's tensors to PATH.safetensors and what they are to PATH.json.

    architecture: what `networks.build` makes this module from; label_set: its name;
    command, data, seed: how it was trained; scores: by name; half_precision: store float
    tensors as float16 (`load` restores float32); notes: anything else JSON can hold.
    Each file appears whole or not at all, and none where one cannot be written. The side file
    comes last: whoever is killed in between leaves a pair that `load` refuses. Raise ValueError
    where a value exceeds float16's range, or a tensor or a score is not finite, OSError that
    names the file where the disk is full; nothing is then written.
    """
    path = Path(path)
    content = safetensors.torch.save(
        {name: _stored(name, t, half_precision) for name, t in module.state_dict().items()}
    )
    side = {
        "architecture": dict(architecture),
        "label_set": label_set,
        "command": command,
        "data": data,
        "seed": seed,
        "scores": dict(scores),
        "half_precision": half_precision,
        **notes,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    text = json.dumps(side, indent=2, allow_nan=False) + "\n"
    with replacing(_side_file(path)) as opened:
        opened.write(text.encode())
        opened.flush()
        write_file(_tensor_file(path), content)


def load(path: str | Path, device: torch.device | str = "cpu") -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a checkpoint, in evaluation mode on a device, and its side file.

    path: without suffix. Nothing is parsed before its SHA-256 is the side file's.
    Raise FileNotFoundError for a missing file; ValueError that names the file where it is
    damaged, was exchanged, holds other tensors than its architecture has, or values that are
    not finite.
    """
    path = Path(path)
    side = read_side_file(path)
    file = _tensor_file(path)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{file} is missing; {_side_file(path)} describes it") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != side["sha256"]:
        raise ValueError(
            f"{file} is damaged or is another file: its SHA-256 is {digest}, "
            f"{_side_file(path).name} says {side['sha256']}; fetch or save it again"
        )
    try:
        tensors = safetensors.torch.load(content)
    # KeyError: a type that safetensors knows and torch does not.
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{file} is not a safetensors file: {error}") from error
    try:
        module = build(side["architecture"])
    except ValueError as error:
        raise ValueError(f"{_side_file(path)}: {error}") from error
    check_finite(tensors, source=str(file))
    load_state(module, tensors, source=str(file))
    return module.to(device).eval(), side


def read_side_file(path: str | Path) -> dict[str, Any]:
    """Return what PATH.json says of the checkpoint PATH.

    Raise FileNotFoundError where it is missing, ValueError where it is not JSON or lacks
    a key that `load` needs.
    """
    file = _side_file(Path(path))
    try:
        side = dict(mapping(read_json(file), str(file)))
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no checkpoint {path}: {file} is missing") from None
    make(_Needed, {key: side[key] for key in _Needed.__annotations__ if key in side}, str(file))
    return side


def digest_of(file: Path, algorithm: str = "sha256") -> str:
    """Return a file's hash in hexadecimal."""
    digest = hashlib.new(algorithm)
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _tensor_file(path: Path) -> Path:
    # Not with_suffix: a name may hold a dot of its own.
    return path.with_name(path.name + ".safetensors")


def _side_file(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _stored(name: str, tensor: Tensor, half_precision: bool) -> Tensor:
    """Return a tensor as it goes to disk."""
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point():
        return tensor
    stored = tensor.half() if half_precision else tensor
    if not torch.isfinite(stored).all():
        peak = tensor.abs().max().item()
        raise ValueError(f"{name} cannot be stored as {stored.dtype}: its largest value is {peak}")
    return stored
