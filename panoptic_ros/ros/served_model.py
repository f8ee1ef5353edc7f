"""A loaded model, and what the parameters make of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from panoptic_ros.gpu_jpeg import jpeg_decoder
from panoptic_ros.label_map import LabelMap
from panoptic_ros.model import engines
from panoptic_ros.pipeline import PanopticPipeline, fusion_or_stack
from panoptic_ros.ros.parameters import MODEL_DEFAULT, Parameters


class ServedModel:
    """Load the networks that the parameters name; raise OSError, RuntimeError or ValueError.

    tell: told each step of an engine that gets ready, and "" in the end; weights: the parameter's
    value that it was loaded by; labels: the outputs' classes; label_map: to those of them that
    there are to be, None: they are the model's; decode_jpeg: the device's decoder, None: it has
    none.
    """

    def __init__(self, chosen: Parameters, tell: Callable[[str], None] = lambda step: None) -> None:
        self.weights = chosen.weights
        with _telling(tell):
            self.pipeline = PanopticPipeline.load(
                chosen.weights, device=chosen.device, engine=chosen.engine
            )
        self.decode_jpeg = jpeg_decoder(self.pipeline.device)
        # What the model file asks for, where the parameters leave the choice to it.
        self._own = self.pipeline.fusion_name, self.pipeline.options, self.pipeline.max_pixels
        self._read = "", LabelMap.identity(self.pipeline.labels)
        fusion = fusion_or_stack(chosen.fusion, self.pipeline.head, chosen.weights)
        self.use(replace(chosen, fusion=fusion))

    def use(self, chosen: Parameters) -> None:
        """Do as the parameters say from the next frame on; raise ValueError if impossible."""
        pipeline, (fusion, options, max_pixels) = self.pipeline, self._own
        label_map = self._label_map_of(chosen.label_map)
        chosen.check_outputs(label_map.labels)
        thresholds = chosen.fusion_options(options, pipeline.labels)
        pipeline.set_fusion(chosen.fusion or fusion, thresholds)
        own = chosen.max_pixels != MODEL_DEFAULT
        pipeline.max_pixels = chosen.max_pixels if own else max_pixels
        self._read = chosen.label_map, label_map
        self.labels = label_map.labels
        is_mapped = bool(chosen.label_map or thresholds.classes)
        self.label_map = label_map.only(thresholds.classes) if is_mapped else None

    def _label_map_of(self, file: str) -> LabelMap:
        if file == self._read[0]:
            return self._read[1]
        labels = self.pipeline.labels
        return LabelMap.read(file, labels) if file else LabelMap.identity(labels)


class _Steps(logging.Handler):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())


@contextmanager
def _telling(tell: Callable[[str], None]) -> Iterator[None]:
    """Tell what the engines log."""
    log, steps = logging.getLogger(engines.__name__), _Steps(tell)
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(steps)
    try:
        yield
    finally:
        log.removeHandler(steps)
        log.setLevel(before)
        tell("")
