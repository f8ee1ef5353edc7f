"""Functions of tensors held by CUDA graphs: a call is one call to the driver, whatever is in it.

Source: the programming guide of CUDA, "CUDA Graphs"; torch.cuda.graph.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

_log = logging.getLogger(__name__)
# Runs before a capture, in which libraries choose their kernels.
_WARM_UPS = 3
# A capture takes as long as some frames: what is called but once or twice is not worth it. Of a
# camera's frames some ten sizes are in use.
_USES_BEFORE, _MOST_GRAPHS = 2, 16

GRAPH_DEVICES = frozenset({"cuda"})
Function = Callable[..., tuple[Tensor, ...]]


class CudaGraph:
    """Hold a function, and the memory that it reads and writes.

    function: of tensors only; it must not ask the device for anything. inputs: an example of each;
    pool: memory that graphs share which run one after the other.
    Raise RuntimeError where CUDA cannot capture it.
    """

    def __init__(self, function: Function, inputs: Sequence[Tensor], pool: Any = None) -> None:
        self._inputs = [each.clone() for each in inputs]
        with torch.cuda.device(inputs[0].device):
            self._graph = torch.cuda.CUDAGraph()
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    function(*self._inputs)
            torch.cuda.current_stream().wait_stream(stream)
            # Another thread may use the card meanwhile, to upload a frame.
            with torch.cuda.graph(self._graph, pool, capture_error_mode="thread_local"):
                self._outputs = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what the function gives for tensors of the examples' shapes.

        The outputs are valid until the next call.
        """
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        self._graph.replay()
        return self._outputs


class GraphCache:
    """Run functions as CUDA graphs once they are called for the same sizes again and again."""

    def __init__(self) -> None:
        self._uses: Counter[Hashable] = Counter()
        self._graphs: OrderedDict[Hashable, CudaGraph | None] = OrderedDict()
        # A graph has one set of outputs, for one thread at a time.
        self._lock = threading.Lock()
        self._pool: Any = None

    def run(
        self, key: Hashable, function: Function, inputs: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Return what a function gives for its inputs, on whichever device they are.

        key: tells the function from others; it gives the same for inputs of the same values.
        """
        if inputs[0].device.type not in GRAPH_DEVICES:
            return function(*inputs)
        shapes = tuple((each.shape, each.dtype, each.device) for each in inputs)
        with self._lock:
            graph = self._graph((key, shapes), function, inputs)
            if graph is not None:
                return tuple(each.clone() for each in graph(*inputs))
        return function(*inputs)

    def _graph(
        self, key: Hashable, function: Function, inputs: Sequence[Tensor]
    ) -> CudaGraph | None:
        if key not in self._graphs:
            self._uses[key] += 1
            if self._uses[key] <= _USES_BEFORE:
                return None
            del self._uses[key]
            self._graphs[key] = self._captured(function, inputs)
            if len(self._graphs) > _MOST_GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        return self._graphs[key]

    def _captured(self, function: Function, inputs: Sequence[Tensor]) -> CudaGraph | None:
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        try:
            return CudaGraph(function, inputs, self._pool)
        except RuntimeError as error:
            reason = str(error).split("\n")[0]
            _log.warning("CUDA cannot capture a step, which stays slower: %s", reason)
            return None
