"""Write a network as one graph, image to both predictions, that this package reads again."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn

from panoptic_ros.labels import LabelSet
from panoptic_ros.model.onnx.runtimes import imported, open_graph
from panoptic_ros.model.predictors import (
    InstancePredictor,
    PanopticPredictor,
    SemanticPredictor,
    SeparatePredictors,
)
from panoptic_ros.model.shared_predictor import SharedPredictor
from panoptic_ros.networks.panoptic.shared import STRIDE
from panoptic_ros.networks.semantic.deformable_subnet import DeformableSubnet
from panoptic_ros.networks.static import StaticSeparate, StaticShared
from panoptic_ros.whole_files import write_file

_log = logging.getLogger(__name__)
Size = tuple[int, int]
INPUT = "image"
OUTPUTS = ("logits", "boxes", "labels", "scores", "masks", "valid")
# The oldest whose operators say all that the networks do; readers know it for years.
OPSET = 17
# How far the graph's scores may be from torch's on the same image.
LARGEST_DIFFERENCE = 1e-3


def static(
    networks: PanopticPredictor, size: Size, unasked: bool = False
) -> tuple[nn.Module, list[str | None]]:
    """Return networks as one module with fixed shapes, and the class of each of its labels.

    unasked: see networks/static.py.

    Raise ValueError for an ONNX network, for layers that ONNX lacks, and for a size that the
    network cannot take.
    """
    names = {c.id: c.name for c in networks.labels.classes}
    if isinstance(networks, SharedPredictor):
        if size[0] % STRIDE or size[1] % STRIDE:
            raise ValueError(
                f"size is {size[1]}x{size[0]}; both sides must be multiples of {STRIDE}"
            )
        if isinstance(networks.network.semantic, DeformableSubnet):
            raise ValueError("deformable_subnet cannot be exported: ONNX lacks its layers")
        module: nn.Module = StaticShared(networks.network, size, unasked)
        return module.eval(), [names.get(i) for i in networks.class_ids.tolist()]
    if isinstance(networks, SeparatePredictors):
        semantic, instances = networks.semantic, networks.instances
        if isinstance(semantic, SemanticPredictor) and isinstance(instances, InstancePredictor):
            module = StaticSeparate(semantic.network, instances.network, size, unasked)
            return module.eval(), [names.get(i) for i in instances.class_ids.tolist()]
    raise ValueError("a network of this model is an ONNX file already")


def write_graph(module: nn.Module, size: Size, file: Path, names: Sequence[str] = OUTPUTS) -> None:
    """Write a module that takes an image, uint8 [1, 3, *size], as an ONNX file."""
    # The exporter's own error for a missing package is told by no name.
    importlib.import_module("onnx")
    with warnings.catch_warnings(), torch.no_grad():
        # That sizes become constants is what we want; that this exporter is the older one, too:
        # it needs no package but onnx, and knows torchvision's operators.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                deepcopy(module).cpu(),
                (torch.zeros(1, 3, *size, dtype=torch.uint8),),
                str(file),
                input_names=[INPUT],
                output_names=list(names),
                opset_version=OPSET,
                dynamo=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ValueError(f"this network cannot be exported: {error}") from error


def check(module: nn.Module, size: Size, file: Path, runtime: str = "onnx") -> None:
    """Raise ValueError where a graph does not give what its module gives for a noisy image."""
    image = np.random.default_rng(0).integers(0, 256, (1, 3, *size), np.uint8)
    graph = open_graph(file, torch.device("cpu"), runtime)
    found = dict(zip(OUTPUTS, graph.run(OUTPUTS, {INPUT: image}), strict=True))
    with torch.no_grad():
        device = next(module.parameters()).device
        expected = dict(zip(OUTPUTS, module(torch.from_numpy(image).to(device)), strict=True))
    off = float(np.abs(found["scores"] - expected["scores"].cpu().numpy()).max(initial=0))
    if not off <= LARGEST_DIFFERENCE:
        raise ValueError(f"{file} gives other scores than torch, by up to {off:.2g}")
    _log.info("%s gives torch's scores within %.1e", file, off)


def describe(
    file: Path,
    graph: Path,
    labels: LabelSet,
    things: Sequence[str | None],
    origin: Mapping[str, str],
    fit: str = "letterbox",
) -> None:
    """Write the description of a graph beside it; things: class of each label, None: none."""
    content = {
        "file": graph.name,
        "task": "panoptic",
        "input": {"name": INPUT, "layout": "NCHW", "fit": fit},
        "classes": [c.name for c in labels.classes],
        "things": list(things),
        "exported_from": dict(origin),
    }
    write_yaml(file, content)


def write_yaml(file: Path, content: Mapping[str, Any]) -> None:
    """Write a YAML file in the order of its content."""
    text = yaml.safe_dump(dict(content), sort_keys=False, default_flow_style=None, width=100)
    write_file(file, text)


def to_openvino(onnx: Path) -> Path:
    """Replace an ONNX file by OpenVINO's own form; return its .xml, beside which lies a .bin."""
    openvino = imported("openvino")
    file = onnx.with_suffix(".xml")
    openvino.save_model(openvino.convert_model(str(onnx)), str(file), compress_to_fp16=False)
    onnx.unlink()
    return file
