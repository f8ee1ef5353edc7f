"""What engines keep on disk, and networks that run as such graphs, one for each size of image."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.checkpoints import digest_of
from panoptic_ros.model.onnx import OnnxGraph, OnnxPanopticPredictor, load_description
from panoptic_ros.model.onnx.runtimes import version_of
from panoptic_ros.model.onnx.writer import check, describe, static, write_graph
from panoptic_ros.model.predictors import OnTop, PanopticPredictor, SeparatePredictors, sides_of
from panoptic_ros.model.shared_predictor import SharedPredictor
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction

_log = logging.getLogger(__name__)
Size = tuple[int, int]
# Frames of more sizes than a camera has are run by torch: each size takes seconds and memory.
MOST_SIZES = 4
# Raised with every change of networks/static.py that changes a graph, and of what is kept with it.
FORM = 2
# What a graph's description says it is exported from, here: its own SHA-256.
DIGEST = "graph"
# What follows the weights' part of a file's name: width and height.
_SIZE = re.compile(r"-(\d+)x(\d+)")


def cache_dir() -> Path:
    """Return the folder of artefacts: $XDG_CACHE_HOME/panoptic_ros/engines, or below ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "panoptic_ros" / "engines"


def typical_size(networks: PanopticPredictor) -> Size | None:
    """Return the (height, width) that networks see of a frame twice as wide as high.

    None where the frame's own size decides.
    """
    # Larger than what any network is made for: both are scaled to its limits.
    size = input_size(networks, (2048, 4096))
    return size if size == input_size(networks, (4096, 8192)) else None


def input_size(networks: PanopticPredictor, frame: Size) -> Size:
    """Return the size at which networks see a frame.

    Raise ValueError for an ONNX network, and for two that see it at different sizes.
    """
    if isinstance(networks, SharedPredictor):
        return networks.input_size(frame)
    if isinstance(networks, SeparatePredictors):
        halves = (networks.semantic, networks.instances)
        if all(hasattr(half, "input_size") for half in halves):
            sizes = {half.input_size(frame) for half in halves}
            if len(sizes) == 1:
                return sizes.pop()
            raise ValueError(
                f"its networks see a frame at different sizes, {sorted(sizes)}: give them the same "
                "short_side and long_side, or take engine eager"
            )
    raise ValueError(
        "a network of it is an ONNX file, which has its own runtime: take engine auto, or name none"
    )


class CachedGraphs(OnTop[PanopticPredictor]):
    """Run networks as graphs that are exported once for each size of image, and kept on disk.

    runtime: of `model.onnx.runtimes`; key: tells the weights. Sizes that the disk knows are ready
    when this is made, else the typical one. A frame of a further size is torch's until a thread has
    prepared its graph. Raise ValueError where exporting fails, OSError where the folder cannot be
    written.
    """

    def __init__(self, networks: PanopticPredictor, key: str, runtime: str) -> None:
        super().__init__(networks)
        self._runtime = runtime
        versions = (key, torch.__version__, FORM, networks.device, runtime, version_of(runtime))
        self._stem = hashlib.sha256(" ".join(map(str, versions)).encode()).hexdigest()[:24]
        self._graphs: dict[Size, OnnxPanopticPredictor] = {}
        # Sizes that have a graph, will have one, or cannot.
        self._seen: set[Size] = set()
        typical = typical_size(networks)
        for size in self._known() or ([typical] if typical else []):
            self._seen.add(size)
            self._graphs[size] = self._prepared(size)

    def __call__(
        self, image: np.ndarray | Tensor, lap: Callable[[str], None] = lambda stage: None
    ) -> tuple[SemanticPrediction, InstancePrediction]:
        """Return both predictions of an image; lap: as for `OnnxPanopticPredictor`."""
        frame = self.upload(image)
        size = input_size(self._networks, sides_of(frame))
        if size not in self._seen and len(self._seen) < MOST_SIZES:
            self._seen.add(size)
            threading.Thread(
                target=self._prepare, args=(size,), name=f"prepare {size}", daemon=True
            ).start()
        return self._graphs.get(size, self._networks)(frame, lap)

    def _known(self) -> list[Size]:
        """Return the sizes that lie on disk for these weights, the latest first."""
        found = {}
        for file in cache_dir().glob(f"{self._stem}-*.yaml"):
            # People copy files, and another process may take one away meanwhile.
            with suppress(FileNotFoundError):
                if name := _SIZE.fullmatch(file.stem.removeprefix(self._stem)):
                    found[int(name[2]), int(name[1])] = file.stat().st_mtime
        return sorted(found, key=lambda size: -found[size])[:MOST_SIZES]

    def _prepare(self, size: Size) -> None:
        """Prepare a graph while frames go on; torch keeps those of a size where it fails."""
        try:
            self._graphs[size] = self._prepared(size)
        except Exception as error:  # Whatever it is, there is no caller to tell.
            _log.warning("torch runs images of %dx%d: %s", size[1], size[0], error)

    def _prepared(self, size: Size) -> OnnxPanopticPredictor:
        file = cache_dir() / f"{self._stem}-{size[1]}x{size[0]}.yaml"
        if file.is_file():
            try:
                return self._opened(file)
            except (OSError, ValueError) as error:
                _log.warning("%s is made anew: %s", file.with_suffix(".onnx"), error)
                # Another process that starts now may have done so already.
                file.unlink(missing_ok=True)
        self._export(file, size)
        _log.info("opening the graph, 3 of 3")
        return self._opened(file)

    def _opened(self, file: Path) -> OnnxPanopticPredictor:
        """Return a graph from the disk; raise ValueError or OSError for a damaged one."""
        description = load_description(file, "panoptic")
        if digest_of(description.file) != description.exported_from.get(DIGEST):
            raise ValueError("its content is not what was written")
        networks = self._networks
        riders = isinstance(networks, SeparatePredictors) and networks.instances.finds_riders
        graph = OnnxGraph(description, self.labels, self.device, runtime=self._runtime)
        return OnnxPanopticPredictor(graph, finds_riders=riders)

    def _export(self, file: Path, size: Size) -> None:
        """Write a graph and then its description, which tells that it is whole."""
        _log.info("exporting the networks for images of %dx%d, 1 of 3", size[1], size[0])
        module, things = static(self._networks, size)
        with _workspace(file.parent) as folder:
            partial = Path(folder) / file.with_suffix(".onnx").name
            write_graph(module, size, partial)
            _log.info("checking the graph against torch, 2 of 3")
            # On the host: TensorRT computes in half precision, which is no fault of the graph.
            check(module, size, partial, "openvino" if self._runtime == "openvino" else "onnx")
            side = partial.with_suffix(".yaml")
            origin = {DIGEST: digest_of(partial)}
            # A frame is brought to the graph's size as to the network's.
            describe(side, partial, self.labels, things, origin, fit="stretch")
            # Written where no other process that makes the same writes.
            partial.replace(file.with_suffix(".onnx"))
            side.replace(file)


def _workspace(parent: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a folder of one's own below another; raise OSError that says what to do instead."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=parent)
    except OSError as error:
        words = f"{error.strerror}; let XDG_CACHE_HOME name a folder that can be written"
        raise OSError(error.errno, f"graphs cannot be kept: {words}", str(parent)) from error
