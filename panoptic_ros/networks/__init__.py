"""Torch modules, built by name from a mapping that fits in YAML and JSON."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.overrides import TorchFunctionMode

# Before all that imports torchvision.
from panoptic_ros.networks import torchvision_start  # noqa: F401
from panoptic_ros.networks.deeplab import DeepLabV3Plus
from panoptic_ros.networks.mask_rcnn import MaskRCNNDetector
from panoptic_ros.networks.panoptic.shared import SharedPanopticNetwork
from panoptic_ros.networks.panoptic.spatial_ranking import SpatialRanking
from panoptic_ros.networks.panoptic_head import PanopticHead
from panoptic_ros.networks.parameters import check_parameters

__all__ = [
    "NETWORKS",
    "DeepLabV3Plus",
    "MaskRCNNDetector",
    "MergeNetwork",
    "PanopticHead",
    "SharedPanopticNetwork",
    "SpatialRanking",
    "build",
]

# What a model's `head` may be: the trained part of a merge.
MergeNetwork = PanopticHead | SpatialRanking

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "deeplabv3plus_mobilenetv2": DeepLabV3Plus,
    "mask_rcnn": MaskRCNNDetector,
    "panoptic_head": PanopticHead,
    "shared_panoptic": SharedPanopticNetwork,
    "spatial_ranking": SpatialRanking,
}

MOST_PARAMETERS = 2_000_000_000
# What is made in a second; the largest network here has 500.
MOST_MODULES = 2_000
# Architectures, as text, that were found to be: measuring takes as long as making one.
_small_enough: set[str] = set()
# What torch and the networks raise for parameters that make no network.
_IMPOSSIBLE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def build(architecture: Mapping[str, Any]) -> nn.Module:
    """Return a network with random weights.

    architecture: `name`, a key of NETWORKS, and that network's own parameters.
    Raise ValueError for an unknown name, for a parameter that is unknown, missing or out of
    its range, and for a network of more than MOST_PARAMETERS or MOST_MODULES.

    >>> build({"name": "deeplabv3plus_mobilenetv2", "num_classes": 19})
    """
    parameters = dict(architecture)
    name = parameters.pop("name", None)
    if not isinstance(name, str) or name not in NETWORKS:
        raise ValueError(f"unknown architecture {name!r}; known: {', '.join(NETWORKS)}")
    network = NETWORKS[name]
    try:
        inspect.signature(network).bind(**parameters)
    except TypeError as error:
        known = ", ".join(inspect.signature(network).parameters)
        raise ValueError(f"architecture {name!r}: {error}; its parameters: {known}") from None
    try:
        check_parameters(network, parameters)
        # Without memory first: a file may ask for more than there is.
        if repr(architecture) not in _small_enough:
            with torch.device("meta"), _Unfilled(), _limited():
                size = sum(p.numel() for p in network(**parameters).parameters())
            if size > MOST_PARAMETERS:
                limit = f"the limit is {MOST_PARAMETERS:.3g}"
                raise ValueError(f"it has {size:.3g} parameters, {limit}")
            _small_enough.add(repr(architecture))
        return network(**parameters)
    except _IMPOSSIBLE as error:
        # torch's words go on for lines.
        words = " ".join(str(error).split())
        raise ValueError(f"architecture {name!r}: {words}") from error


class _Unfilled(TorchFunctionMode):
    """Draw no weights: on `meta` torch would load its compiler for that."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # What nn.init has no tensor pass through draws by the tensor's own functions.
        of_init = getattr(func, "__module__", None) == nn.init.__name__
        if of_init or func in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def _limited() -> Iterator[None]:
    """Raise ValueError where more than MOST_MODULES are made."""
    made = itertools.count(1)

    def note(*_: Any) -> None:
        if next(made) > MOST_MODULES:
            raise ValueError(f"it has more than {MOST_MODULES} modules")

    with register_module_module_registration_hook(note):
        yield
