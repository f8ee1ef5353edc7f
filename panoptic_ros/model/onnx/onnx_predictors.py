"""ONNX networks behind the two halves' interface (see predictors.py)."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.documents import named
from panoptic_ros.labels import LabelSet
from panoptic_ros.model.onnx.description import (
    InstanceOutput,
    OnnxDescription,
    RawOutput,
    SemanticOutput,
)
from panoptic_ros.model.onnx.detections import (
    Detections,
    check_given,
    check_raw,
    given,
    raw,
    require_probabilities,
)
from panoptic_ros.model.onnx.placement import Fit, Placement
from panoptic_ros.model.onnx.session import GraphError, OnnxSession
from panoptic_ros.model.predictors import OWN_SIZE, Limits, OnTop, upload
from panoptic_ros.model.rider_rule import find_riders
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction, all_finite

_log = logging.getLogger(__name__)
# Scores of a class that the network does not know, or gives no score: e^-30 is nothing to a
# softmax, and finite where a logarithm of 0 is not.
NEVER = -30.0
LEAST_PROBABILITY = 1e-13
# A camera image to try a graph on, and the multiples that networks want of its sides.
TRIAL = (720, 1280)
MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128)
_OTHER_MULTIPLES = (
    "nor one whose sides are multiples of "
    + ", ".join(map(str, MULTIPLES[1:]))
    + "; write multiple_of, or export it for one size"
)
# How far the sum of a softmax may be from 1, in float16 too.
SUM_TOLERANCE = 1e-2


class OnnxGraph:
    """Hold a graph that runs, its description, and the label set and sizes to read it with.

    runtime: see `runtimes.open_graph`. Raise as `OnnxSession` does.
    """

    def __init__(
        self,
        description: OnnxDescription,
        labels: LabelSet,
        device: torch.device,
        limits: Limits = OWN_SIZE,
        *,
        runtime: str = "onnx",
    ) -> None:
        self.description, self.labels, self.limits = description, labels, limits
        self.session = OnnxSession(description.file, description.input, device, runtime)

    def halves(self) -> tuple[OnnxGraph, OnnxGraph]:
        """Return the semantic half and that of the instances, which share what runs."""
        semantic, instances = copy(self), copy(self)
        semantic.description, instances.description = self.description.halves()
        return semantic, instances


class _OnnxPredictor(ABC):
    """Try a graph once on a noisy image, and hold how images come to the size it wants.

    Raise ValueError where the graph runs on no image, or gives what does not fit its
    description: what fails at a frame fails here before.
    """

    def __init__(self, graph: OnnxGraph) -> None:
        description, self.labels = graph.description, graph.labels
        self._class_ids = description.class_ids(self.labels)
        self._session = graph.session
        self.outputs: list[str] = self._session.check_outputs(self._names(description))
        wanted = description.input
        fixed = self._session.size
        multiple = wanted.multiple_of
        if multiple and any(side % multiple for side in fixed if side):
            raise ValueError(f"{description.file} takes {fixed}, no multiples of {multiple}")
        letterbox = wanted.fit == "letterbox" or (not wanted.fit and not any(fixed))
        self._fit = Fit(graph.limits, fixed, multiple or 1, letterbox)
        self._fit = replace(self._fit, multiple=self._working_multiple(multiple))

    @abstractmethod
    def _names(self, description: OnnxDescription) -> list[str]:
        """Return the names of the outputs that are asked for."""

    @abstractmethod
    def _check(self, found: list[Tensor], placement: Placement) -> None:
        """Raise ValueError for outputs that are not what the description says."""

    @property
    def device(self) -> torch.device:
        """Device that predictions lie on."""
        return self._session.device

    def upload(self, image: np.ndarray | Tensor) -> Tensor:
        """Return an image as uint8 [3, H, W] on the device; see `predictors.upload`."""
        return upload(image, self.device)

    def run(self, frame: Tensor, more: Sequence[str] = ()) -> tuple[list[Tensor], Placement]:
        """Return the outputs for an image, batch axes removed, and where it lay in the input.

        more: names of outputs that are wanted after the predictor's own.
        """
        placement = self._fit.place((frame.shape[1], frame.shape[2]))
        found = self._session(placement.apply(frame), [*self.outputs, *more])
        return [self._first(output) for output in found], placement

    def _first(self, output: Tensor) -> Tensor:
        """Return the part of an output that is the first image's."""
        several = self._session.batch > 1 and output.ndim and len(output) == self._session.batch
        return output[:1] if several else output

    def _working_multiple(self, wanted: int | None) -> int:
        """Return of what the open sides must be multiples; raise GraphError where none works."""
        # Odd primes: a network that halves its sides once more, or wants other multiples, fails.
        sides = Fit(self._fit.limits, (None, None), 1, False).place(TRIAL)
        tried = (wanted,) if wanted else MULTIPLES[: 1 if all(self._fit.fixed) else None]
        errors = []
        for multiple in tried:
            height, width = (
                fixed or _odd_prime(side // multiple) * multiple
                for fixed, side in zip(self._fit.fixed, sides.canvas, strict=True)
            )
            size = (height, width)
            noise = torch.Generator(self.device).manual_seed(0)
            image = torch.randint(
                0, 256, (3, *size), generator=noise, device=self.device, dtype=torch.uint8
            )
            try:
                found = self._session(image, self.outputs)
            except GraphError as error:
                errors.append(error)
                continue
            self._check([self._first(o) for o in found], Placement(size, size, (0, 0), size))
            if multiple > (wanted or 1):
                _log.info("%s takes sides that are multiples of %d", self._session.file, multiple)
            return multiple
        advice = "" if wanted or all(self._fit.fixed) else f", {_OTHER_MULTIPLES}"
        raise GraphError(f"{errors[0]}{advice}") from errors[0]


def _odd_prime(most: int) -> int:
    """Return the largest odd prime up to a number, 1 where there is none."""
    odd = range(most, 2, -1)
    return next((n for n in odd if all(n % d for d in range(2, math.isqrt(n) + 1))), 1)


class OnnxSemanticPredictor(_OnnxPredictor):
    """Score each pixel of an image with an ONNX network; raise as `_OnnxPredictor` does."""

    def __init__(self, graph: OnnxGraph) -> None:
        assert isinstance(graph.description.output, SemanticOutput)
        self._kind = graph.description.output.kind
        self._has_warned = False
        super().__init__(graph)
        if self._kind == "labels":
            # What an index stands for that the description does not name.
            self._class_ids = np.append(self._class_ids, 0)

        def sources(class_id: int) -> Tensor:
            return torch.from_numpy(np.flatnonzero(self._class_ids == class_id)).to(self.device)

        # Channel of the label set -> channels of the network's output that count as it.
        known = enumerate(self.labels.classes)
        self._sources = {i: sources(c.id) for i, c in known if c.id in self._class_ids}
        self._none = sources(0)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray | Tensor) -> SemanticPrediction:
        """Return the class scores of an image; a class that the network lacks never wins.

        Probabilities of output channels that count as one class are added. What the network
        gives to the channels that are none of the classes, together, is unlabeled; one channel
        alone is a sigmoid's, its class against all else.
        """
        (found,), placement = self.run(self.upload(image))
        return self.read(found, placement)

    def only_class(self) -> int:
        """Return the channel of the class that the network tells from all else.

        Raise ValueError where it knows several, or nothing else.
        """
        knows_else = len(self._none) or len(self._class_ids) == 1
        if len(self._sources) != 1 or not knows_else:
            names = ", ".join(self.labels.classes[i].name for i in self._sources)
            raise ValueError(
                f"{self._session.file} knows {names}; an expert's description must name one "
                "class, and write null for all else"
            )
        return next(iter(self._sources))

    def read(self, found: Tensor, placement: Placement) -> SemanticPrediction:
        """Return the class scores that an output holds."""
        scores = placement.region(self._scores(found))
        logits = scores.new_full((len(self.labels), *scores.shape[1:]), NEVER)
        for channel, sources in self._sources.items():
            if len(sources) == 1:
                logits[channel] = scores[sources[0]]
            else:
                torch.logsumexp(scores[sources], 0, out=logits[channel])
        return SemanticPrediction(logits, placement.frame, self.labels, self._other(scores))

    def _other(self, scores: Tensor) -> Tensor | None:
        """Return the logit of what is none of the classes, [h, w]; None where there is no such."""
        if len(self._none):
            return scores[self._none].logsumexp(0)
        if len(scores) > 1:
            return None
        if self._kind == "logits":
            return torch.zeros_like(scores[0])
        return (1 - scores[0].exp()).clamp_min(LEAST_PROBABILITY).log()

    def _names(self, description: OnnxDescription) -> list[str]:
        output = description.output
        assert isinstance(output, SemanticOutput)
        return [output.name or self._session.outputs()[0]]

    def _check(self, found: list[Tensor], placement: Placement) -> None:
        values = self._arranged(found[0])
        where = f"{self._session.file}: output {self.outputs[0]!r}"
        if self._kind == "labels" and not bool(_is_whole(values).all()):
            raise ValueError(
                f"{where} gives {values[~_is_whole(values)][0]:g}, which is no class index; "
                "write kind: logits, or probabilities"
            )
        if self._kind == "probabilities":
            advice = "write kind: logits, or let the graph give 0..1"
            named(where, lambda: require_probabilities(values, "values", advice))
        if self._kind == "logits" and _are_probabilities(values):
            _log.warning(
                "%s seems to give probabilities, which are taken for logits; if so, write "
                "kind: probabilities",
                where,
            )

    def _arranged(self, found: Tensor) -> Tensor:
        """Return an output as [C, h, w], or [h, w] where it holds indices.

        Raise ValueError where it is neither.
        """
        shape, count = list(found.shape), len(self._class_ids)
        sides = 2 if self._kind == "labels" else 3
        while found.ndim > sides and found.shape[0] == 1:
            found = found[0]
        if not found.numel():
            raise ValueError(
                f"{self._session.file}: output {self.outputs[0]!r} of {shape} is empty"
            )
        if self._kind == "labels":
            found = found[..., 0] if found.ndim == 3 and found.shape[2] == 1 else found
            if found.ndim == 2:
                return found
        elif found.ndim == 3 and count in (found.shape[0], found.shape[2]):
            # Where both sides fit, the channels lie where the input has them.
            last = self._session.channels_last if found.shape[0] == count else True
            return found.permute(2, 0, 1) if last and found.shape[2] == count else found
        raise ValueError(
            f"{self._session.file}: output {self.outputs[0]!r} has shape {shape}, which is no "
            f"{self._kind} of the {count} classes that its description names"
        )

    def _scores(self, found: Tensor) -> Tensor:
        """Return an output as logits, float [C, h, w]."""
        found = self._arranged(found)
        if self._kind == "labels":
            indices = torch.arange(len(self._class_ids), device=self.device)[:, None, None]
            return torch.where(self._named(found)[None] == indices, 0.0, NEVER)
        found = found.float()
        return found if self._kind == "logits" else found.clamp_min(LEAST_PROBABILITY).log()

    def _named(self, indices: Tensor) -> Tensor:
        """Return class indices, int64, those beyond the description's as the last of `_class_ids`.

        So are fractions, and what is not finite.
        """
        last = len(self._class_ids) - 1
        # As int64: a byte does not hold each number of classes.
        whole = indices.long()
        unknown = (whole < 0) | (whole >= last) | ~_is_whole(indices)
        if not self._has_warned and bool(unknown.any()):
            self._has_warned = True
            _log.warning(
                "%s gives index %g, its description names %d classes: such pixels are unlabeled",
                *(self._session.file, indices[unknown][0], last),
            )
        return torch.where(unknown, last, whole)


def _is_whole(values: Tensor) -> Tensor:
    """Return which values are whole numbers, bool of their shape; what is not finite is none."""
    if not values.is_floating_point():
        return torch.ones_like(values, dtype=torch.bool)
    return values == values.where(values.isfinite(), 0.5).round()


def _are_probabilities(scores: Tensor) -> bool:
    """Say whether scores, [C, h, w], are what softmax, or for one channel sigmoid, gives."""
    scores = scores.float()
    if not bool(((scores >= 0) & (scores <= 1)).all()):
        return False
    return len(scores) == 1 or bool(((scores.sum(0) - 1).abs() < SUM_TOLERANCE).all())


class OnnxInstancePredictor(_OnnxPredictor):
    """Find instances in an image with an ONNX network; raise as `_OnnxPredictor` does.

    finds_riders: as for `InstancePredictor`.
    """

    def __init__(self, graph: OnnxGraph, *, finds_riders: bool = False) -> None:
        output = graph.description.output
        assert isinstance(output, InstanceOutput | RawOutput)
        self.finds_riders = finds_riders
        self._output: InstanceOutput | RawOutput = output
        class_ids = graph.description.class_ids(graph.labels)
        self._ids = torch.from_numpy(class_ids).to(graph.session.device)
        super().__init__(graph)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray | Tensor) -> InstancePrediction:
        """Return the instances in an image, by falling score, boxes in pixels of the image."""
        return self.read(*self.run(self.upload(image)))

    def read(self, found: list[Tensor], placement: Placement) -> InstancePrediction:
        """Return the instances that outputs hold."""
        detections = self._detections(found, placement)
        class_ids = self._ids[detections.labels]
        order = detections.scores.argsort(descending=True, stable=True)
        order = order[class_ids[order] > 0]
        instances = InstancePrediction(
            placement.boxes(detections.boxes[order]),
            class_ids[order],
            detections.scores[order],
            detections.masks(order),
            # What is not finite has no score and no area, and is left out above.
            all_finite(output for output in found if output.is_floating_point()),
        )
        return find_riders(instances, self.labels) if self.finds_riders else instances

    def _names(self, description: OnnxDescription) -> list[str]:
        output, known = self._output, self._session.outputs()
        if isinstance(output, InstanceOutput):
            return [output.boxes, output.labels, output.scores, output.masks]
        prototypes = output.prototypes or known[-1]
        if output.boxes:
            return [output.boxes, output.scores, output.coefficients, prototypes]
        return [output.predictions or known[0], prototypes]

    def _check(self, found: list[Tensor], placement: Placement) -> None:
        self._detections(found, placement)
        file = f"{self._session.file}"

        def check() -> None:
            if isinstance(self._output, RawOutput):
                check_raw(found, self._output, len(self._ids), file)
            else:
                check_given(found)

        named(file, check)

    def _detections(self, found: list[Tensor], placement: Placement) -> Detections:
        """Return the detections of our classes; raise ValueError where they do not fit."""
        try:
            if isinstance(self._output, RawOutput):
                return raw(found, self._output, self._ids, placement)
            return given(found, self._output, self._ids, placement)
        except ValueError as error:
            shapes = {n: list(t.shape) for n, t in zip(self.outputs, found, strict=True)}
            raise ValueError(f"{self._session.file}: {error}; its outputs: {shapes}") from error


class OnnxPanopticPredictor(OnTop[OnnxSemanticPredictor]):
    """Score pixels and find instances with one ONNX network; raise as `_OnnxPredictor` does.

    finds_riders: as for `InstancePredictor`.
    """

    def __init__(self, graph: OnnxGraph, *, finds_riders: bool = False) -> None:
        semantic, instances = graph.halves()
        super().__init__(OnnxSemanticPredictor(semantic))
        self._instances = OnnxInstancePredictor(instances, finds_riders=finds_riders)

    @torch.inference_mode()
    def __call__(
        self, image: np.ndarray | Tensor, lap: Callable[[str], None] = lambda stage: None
    ) -> tuple[SemanticPrediction, InstancePrediction]:
        """Return both predictions of an image.

        lap: told when `instances`, to which the whole run is counted, and `semantic` are done.
        """
        found, placement = self._instances.run(self.upload(image), self._networks.outputs)
        *of_instances, logits = found
        instances = self._instances.read(of_instances, placement)
        lap("instances")
        semantic = self._networks.read(logits, placement)
        lap("semantic")
        return semantic, instances
