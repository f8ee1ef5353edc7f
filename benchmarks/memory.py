"""Memory of the pipeline over many frames, without a node.

    python benchmarks/memory.py --weights town --frames 200
    python benchmarks/memory.py --weights benchmarks/quick.yaml --frames 10000

Frames of noise and blobs, so that the number of instances changes, in a thread of their own, as in
the node: glibc keeps memory by threads. Writes what is resident after the first tenth, at the end
and at most, and the slope over the rest with its 95 % interval. Exit code 1 where it grows by more
than --grows MiB in 10,000 frames with that confidence, or takes more than --most MiB.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import cv2
import numpy as np
from results import resident_mib

from panoptic_ros.pipeline import PanopticPipeline

_PARTS = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="town", help="model (default: town)")
    parser.add_argument("--engine", help="what runs the networks (default: the model's own)")
    parser.add_argument("--frames", type=int, default=10000, help="frames (default: 10000)")
    parser.add_argument("--seconds", type=float, help="end after this time")
    parser.add_argument("--size", default="1024x512", help="of a frame (default: 1024x512)")
    parser.add_argument("--grows", type=float, default=20, help="MiB (default: 20)")
    parser.add_argument("--most", type=float, default=1536, help="MiB (default: 1536)")
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    pipeline = PanopticPipeline.load(args.weights, device="cpu", engine=args.engine)
    rng = np.random.default_rng(0)
    resident: list[float] = []
    start = time.monotonic()
    # Told to end early, it says what it has measured.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), ThreadPoolExecutor(1) as worker:
        while len(resident) < args.frames:
            worker.submit(pipeline, _picture(rng, height, width)).result()
            resident.append(resident_mib())
            if args.seconds is not None and time.monotonic() - start > args.seconds:
                break
    settled = len(resident) // 10
    slope, half = slope_of(np.array(resident[settled:]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{args.weights}, {len(resident)} frames of {args.size}: {resident[settled]:.0f} MiB after "
        f"{settled} frames, {resident[-1]:.0f} at the end, {peak:.0f} at most; "
        f"{slope:+.1f} +- {half:.1f} MiB in 10,000 frames (95 %)"
    )
    return 1 if slope - half > args.grows or peak > args.most else 0


def slope_of(resident: np.ndarray) -> tuple[float, float]:
    """Return the slope in MiB per 10,000 frames and half its 95 % interval.

    Over means of many frames each: single ones depend on those before.
    """
    parts = np.array_split(resident, min(_PARTS, len(resident)))
    y = np.array([part.mean() for part in parts])
    x = np.cumsum([len(part) for part in parts]) / 1e4
    x = x - x.mean()
    slope = float(x @ y / (x @ x))
    rest = y - y.mean() - slope * x
    error = np.sqrt(rest @ rest / max(len(y) - 2, 1) / (x @ x))
    return slope, 1.96 * float(error)


def _picture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    blobs = rng.integers(0, 256, (rng.integers(2, 24), rng.integers(2, 48), 3), np.uint8)
    return cv2.resize(blobs, (width, height))


if __name__ == "__main__":
    sys.exit(main())
