"""Run every bench of this folder, print a table and write bench_out/bench.json.

A bench is a file bench_NAME.py with run(device) -> list[Result].
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from results import Result

from panoptic_ros.pipeline import torch_device

_FOLDER = Path(__file__).parent


def main() -> int:
    names = sorted(f.stem.removeprefix("bench_") for f in _FOLDER.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="benches to run")
    parser.add_argument("--out", type=Path, default=Path("bench_out"), help="folder to write")
    args = parser.parse_args()
    device = torch_device(args.device)
    results, failures = [], {}
    for name in args.only:
        try:
            new = importlib.import_module(f"bench_{name}").run(device)
        except Exception as error:  # One bench that cannot measure must not cost the others.
            failures[name] = f"{type(error).__name__}: {error}"
            print(f"bench {name} failed: {failures[name]}", file=sys.stderr, flush=True)
            continue
        print(*map(_row, new), sep="\n", flush=True)
        results += map(_entry, new)
    args.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": _machine(device), "results": results, "failures": failures}
    (args.out / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"{report['machine']}\nwritten to {args.out / 'bench.json'}")
    return 1 if failures else 0


def _row(result: Result) -> str:
    relation = ">=" if result.higher_is_better else "<="
    times = ", ".join(f"{name} {ms:.2f} ms" for name, ms in result.milliseconds.items())
    verdict = "met" if result.meets_goal else "MISSED"
    return (
        f"{result.name:<36}{result.value:>8.1f} {result.unit}, "
        f"goal {relation} {result.goal:g}: {verdict}\n    {times}\n    {result.about}"
    )


def _entry(result: Result) -> dict[str, Any]:
    return {**asdict(result), "meets_goal": result.meets_goal}


def _machine(device: torch.device) -> dict[str, Any]:
    is_cuda = device.type == "cuda"
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if is_cuda else "cpu",
    }


if __name__ == "__main__":
    sys.exit(main())
