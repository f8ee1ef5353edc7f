"""What int8 costs in PQ, and gains in time: the figures of docs/performance.md.

    python benchmarks/int8_quality.py --weights town --out int8_out

Renders frames of the town that no training has seen, 16 to calibrate by and 50 others to judge by;
exports the model in int8; evaluates it and the model as it is on the same frames, in one run each;
prints `evaluate compare`'s differences with their intervals, and the CPU time of both. What is in
the folder already is not made again. Needs the extras train and onnx, and openvino where that is to
run it.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

# As docs/town.md has it: no seed of a training is among them.
_JUDGED_SEED, _CALIBRATION_SEED = 900000, 950000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="town", help="model (default: town)")
    parser.add_argument("--frames", type=int, default=50, help="to judge by (default: 50)")
    parser.add_argument("--calibrate", type=int, default=16, help="frames (default: 16)")
    parser.add_argument("--out", type=Path, default=Path("int8_out"), help="folder to write")
    args = parser.parse_args()
    calibration, judged = args.out / "calibration", args.out / "judged"
    _render(calibration, _CALIBRATION_SEED, args.calibrate)
    _render(judged, _JUDGED_SEED, args.frames)
    graph = args.out / "int8"
    pictures = calibration / "leftImg8bit" / "val"
    if not graph.is_dir():
        _run("export", "--weights", args.weights, "--int8", "--calibrate", pictures, "--out", graph)
    (model,) = (f for f in graph.glob("*.yaml") if not f.stem.endswith("_network"))
    for name, weights in (("eager", args.weights), ("int8", model)):
        data = ("--dataset", "town", "--data", judged, "--weights", weights)
        seconds = _run("evaluate", *data, "--out", args.out / name)
        if seconds:
            print(f"{name}: {seconds / args.frames:.2f} s of CPU time a frame, scoring included")
    _run("evaluate", "compare", args.out / "eager", args.out / "int8", "--out", args.out / "both")
    return 0


def _render(folder: Path, seed: int, count: int) -> None:
    if not folder.is_dir():
        options = {"--split": "val", "--first-seed": seed, "--count": count, "--frames": 1}
        _run("town", "--out", folder, *(word for option in options.items() for word in option))


def _run(*arguments: object) -> float:
    """Run a command of the package and return the CPU time that it took, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "panoptic_ros", *map(str, arguments)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
