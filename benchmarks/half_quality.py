"""What half precision costs in PQ: the figures of docs/performance.md.

    python benchmarks/half_quality.py --data TOWN --limit 20 --out half_out

Evaluates a model on the first frames of the split `val` of a rendered town, in float32 and in half
precision, both on the CPU, and prints `evaluate compare`'s differences with their intervals. What
is in the folder already is not made again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from panoptic_ros.__main__ import main as command
from panoptic_ros.model.build import HALF_TYPES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="town", help="model (default: town)")
    parser.add_argument("--data", type=Path, required=True, help="the town's folder")
    parser.add_argument("--limit", default="20", help="frames to judge by (default: 20)")
    parser.add_argument("--type", choices=("float16", "bfloat16"), default="float16")
    parser.add_argument("--out", type=Path, default=Path("half_out"), help="folder to write")
    args = parser.parse_args()
    data = ["--dataset", "town", "--data", str(args.data), "--split", "val", "--limit", args.limit]
    runs = []
    for name, half in (("float32", {}), (args.type, {"cpu": getattr(torch, args.type)})):
        HALF_TYPES.update(half)
        runs.append(str(args.out / name))
        options = ["--weights", args.weights, "--device", "cpu", "--out", runs[-1]]
        if not Path(runs[-1]).is_dir() and command(["evaluate", *data, *options]):
            return 1
    return command(["evaluate", "compare", *runs, "--out", str(args.out / "both")])


if __name__ == "__main__":
    sys.exit(main())
