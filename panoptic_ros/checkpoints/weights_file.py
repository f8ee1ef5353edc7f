"""Save networks to, and load them from, NAME.safetensors and its side file NAME.json."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from panoptic_ros.checkpoints.state import load_state
from panoptic_ros.networks import build

# What `load` needs; the rest of the side file tells people where the weights come from.
REQUIRED = ("architecture", "label_set", "sha256")


def save(
    module: nn.Module,
    path: str | Path,
    *,
    architecture: Mapping[str, Any],
    label_set: str,
    command: str,
    data: Any,
    seed: int,
    scores: Mapping[str, float],
    half_precision: bool = False,
    **notes: Any,
) -> None:
    """Write a network's tensors to PATH.safetensors and what they are to PATH.json.

    architecture: what `networks.build` makes this module from; label_set: its name;
    command, data, seed: how it was trained; scores: by name; half_precision: store float
    tensors as float16 (`load` restores float32); notes: anything else JSON can hold.
    Each file appears whole or not at all. The side file comes last: whoever is killed in
    between leaves a pair that `load` refuses. Raise ValueError where a value exceeds
    float16's range, or a tensor or a score is not finite; nothing is then written.
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
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(_tensor_file(path), content)
    _replace(_side_file(path), text.encode())


def load(path: str | Path, device: torch.device | str = "cpu") -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a checkpoint, in evaluation mode on a device, and its side file.

    path: without suffix. Nothing is parsed before its SHA-256 is the side file's.
    Raise FileNotFoundError for a missing file; ValueError that names the file where it is
    damaged, was exchanged, or holds other tensors than its architecture has.
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
    except SafetensorError as error:
        raise ValueError(f"{file} is not a safetensors file: {error}") from error
    try:
        module = build(side["architecture"])
    except ValueError as error:
        raise ValueError(f"{_side_file(path)}: {error}") from error
    load_state(module, tensors, source=str(file))
    return module.to(device).eval(), side


def read_side_file(path: str | Path) -> dict[str, Any]:
    """Return what PATH.json says of the checkpoint PATH.

    Raise FileNotFoundError where it is missing, ValueError where it is not JSON or lacks
    a key that `load` needs.
    """
    file = _side_file(Path(path))
    try:
        side = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no checkpoint {path}: {file} is missing") from None
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    missing = [key for key in REQUIRED if not isinstance(side, dict) or key not in side]
    if missing:
        raise ValueError(f"{file} lacks {', '.join(missing)}")
    if not isinstance(side["architecture"], dict):
        raise ValueError(f"{file}: architecture must be a JSON object")
    return side


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


def _replace(file: Path, content: bytes) -> None:
    """Write a file under another name first, so that it is never there in part."""
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=file.name, delete=False) as partial:
        try:
            partial.write(content)
            partial.flush()
            os.fsync(partial.fileno())
            # mkstemp's mode is 0600; weights are for every user of the machine.
            Path(partial.name).chmod(0o644)
            Path(partial.name).replace(file)
        except BaseException:
            Path(partial.name).unlink(missing_ok=True)
            raise
