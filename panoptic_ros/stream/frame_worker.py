"""From camera messages to published predictions, in a thread that always takes the newest."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from panoptic_ros.messages import ImageRefused
from panoptic_ros.pipeline import PanopticPipeline, PanopticResult
from panoptic_ros.stream.refusals import Refusal, Refusals
from panoptic_ros.stream.slot import FrameSlot
from panoptic_ros.stream.stamps import StampMonitor
from panoptic_ros.stream.statistics import FrameStatistics

# Memory may come back (another program ends), so work goes on, but at a rate that neither
# floods the log nor troubles whoever holds the memory. Meanwhile frames replace each other.
MEMORY_RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class FrameWork:
    """Say what the worker does with a message, beyond running the pipeline.

    decode: message -> uint8 [H, W, 3], RGB; raises ImageRefused.
    publish: takes message, image and result, in the worker's thread.
    now_ns: time on the clock of the messages' stamps.
    on_refusal: told of each refusal; of exhausted memory once, until a frame goes through.
    """

    decode: Callable[[Any], np.ndarray]
    publish: Callable[[Any, np.ndarray, PanopticResult], None]
    now_ns: Callable[[], int]
    on_refusal: Callable[[Refusal], None]


@dataclass(frozen=True)
class _Frame:
    """Hold a message, its stamp, and when it arrived (time.monotonic(), seconds)."""

    message: Any
    stamp_ns: int
    arrival: float


class FrameWorker:
    """Run the pipeline on the newest of the offered messages, one after the other.

    Every offered message is published, dropped for a newer one, or refused, and counted.
    The worker starts paused.
    """

    def __init__(self, pipeline: PanopticPipeline, work: FrameWork) -> None:
        self.pipeline = pipeline
        self.slot: FrameSlot[_Frame] = FrameSlot()
        self.statistics = FrameStatistics()
        self.refusals = Refusals()
        self._work: FrameWork | None = work
        self._stamps = StampMonitor()
        self._last_arrival = -math.inf
        self._stopping = threading.Event()
        # A daemon, so that a process that has to end does not wait for an inference.
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Accept messages; time and statistics start anew."""
        self._stamps.reset()
        self.statistics.reset()
        self._last_arrival = time.monotonic()
        self.slot.open()

    def pause(self) -> None:
        """Drop what waits; nothing is published once this returns."""
        self.slot.close()

    def stop(self, timeout: float | None = None) -> bool:
        """End the thread after the frame in work; return whether it has ended.

        timeout: seconds; None waits as long as that takes. A thread that goes on is
        forgotten: it ends with its frame and tells nobody.
        """
        self._stopping.set()
        self.slot.end()
        self._thread.join(timeout)
        if self._thread.is_alive():
            # What the caller wants to free must not live on in the thread.
            self._work = None
            return False
        return True

    def offer(self, message: Any, stamp_ns: int) -> None:
        """Leave a message for the thread. Returns at once."""
        self._last_arrival = time.monotonic()
        step_back = self._stamps.step_back(stamp_ns)
        if step_back is None:
            self.slot.put(_Frame(message, stamp_ns, self._last_arrival))
            return
        self.slot.refuse_arrival()
        self.statistics.reset()
        self._report(Refusal("stamp", f"stamp went back by {step_back:.1f} s"))

    def seconds_since_arrival(self) -> float:
        """Return how long ago a message arrived, or the worker was resumed."""
        return time.monotonic() - self._last_arrival

    def _run(self) -> None:
        while (frame := self.slot.take()) is not None:
            refusal = self._settle(frame)
            if refusal is None:
                continue
            self.slot.refuse()
            self._report(refusal)
            if refusal.kind == "memory":
                # Only here is the exception gone, and with it the tensors that its
                # traceback held.
                torch.cuda.empty_cache()
                self._stopping.wait(MEMORY_RETRY_SECONDS)

    def _settle(self, frame: _Frame) -> Refusal | None:
        """Deliver a frame, or return why not."""
        try:
            self._process(frame)
        except ImageRefused as error:
            return Refusal("image", str(error))
        except torch.cuda.OutOfMemoryError as error:
            return Refusal("memory", str(error))
        # One bad frame must not end the node, whatever a network or a driver raises.
        except Exception as error:
            return Refusal("inference", f"{type(error).__name__}: {error}")
        return None

    def _process(self, frame: _Frame) -> None:
        taken = time.monotonic()
        image = self._work.decode(frame.message)
        decoded = time.monotonic()
        result = self._infer(image)
        computed = time.monotonic()
        if not self.slot.deliver(lambda: self._work.publish(frame.message, image, result)):
            return
        published = time.monotonic()
        self.refusals.clear_fault()
        self.statistics.add(
            {
                "wait": (taken - frame.arrival) * 1e3,
                "decode": (decoded - taken) * 1e3,
                **{stage: result.timings[stage] for stage in ("semantic", "instances", "fusion")},
                "inference": (computed - decoded) * 1e3,
                "publish": (published - computed) * 1e3,
                "total": (published - frame.arrival) * 1e3,
                "age": (self._work.now_ns() - frame.stamp_ns) / 1e6,
            }
        )

    def _infer(self, image: np.ndarray) -> PanopticResult:
        try:
            return self.pipeline.run(image)
        except ValueError as error:
            # The pipeline's word for an image that it cannot take, such as one too small.
            raise ImageRefused(str(error)) from error

    def _report(self, refusal: Refusal) -> None:
        fault = self.refusals.fault
        known = refusal.kind == "memory" and fault is not None and fault.kind == "memory"
        self.refusals.add(refusal)
        work = self._work
        if work is not None and not known:
            work.on_refusal(refusal)
