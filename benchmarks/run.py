"""Run every bench of this folder, print a table and write bench_out/bench.json and bench.md.

A bench is a file bench_NAME.py with run(device), which gives Results, in a list or one by one.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
import torchvision
from results import Result

from panoptic_ros.cores import usable_cores
from panoptic_ros.pipeline import torch_device
from panoptic_ros.whole_files import write_file, write_json

_FOLDER = Path(__file__).parent


def main() -> int:
    names = sorted(f.stem.removeprefix("bench_") for f in _FOLDER.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="benches to run")
    parser.add_argument("--out", type=Path, default=Path("bench_out"), help="folder to write")
    parser.add_argument("--name", default="bench", help="of the files (default: bench)")
    parser.add_argument("--add", action="store_true", help="to what the files hold already")
    parser.add_argument("--seconds", type=float, help="begin no bench after this time")
    parser.add_argument("--tests", type=Path, metavar="XML", help="pytest's report, to count in")
    args = parser.parse_args()
    device = torch_device(args.device)
    results, failures = _earlier(args) if args.add else ([], {})
    start = time.monotonic()
    for name in args.only:
        if args.seconds is not None and time.monotonic() - start > args.seconds:
            failures[name] = "left out: the time was over"
            continue
        # Written before it begins, and after each figure: a bench that is killed for taking too
        # long leaves its name, and what it had.
        failures[name] = "it was ended before it was done"
        _write(args, device, results, failures)
        try:
            for result in importlib.import_module(f"bench_{name}").run(device):
                print(_row(result), flush=True)
                results.append(result)
                _write(args, device, results, failures)
            del failures[name]
        except Exception as error:  # One bench that cannot measure must not cost the others.
            failures[name] = f"{type(error).__name__}: {error}"
            print(f"bench {name} failed: {failures[name]}", file=sys.stderr, flush=True)
    _write(args, device, results, failures)
    print(f"{_machine(device)}\nwritten to {args.out}: {args.name}.json, {args.name}.md")
    return 1 if failures.keys() & set(args.only) else 0


def _earlier(args: argparse.Namespace) -> tuple[list[Result], dict[str, str]]:
    """Return the results and the failures of the runs before, none where there was none."""
    file = args.out / f"{args.name}.json"
    if not file.is_file():
        return [], {}
    report = json.loads(file.read_text())
    fields = [field.name for field in dataclasses.fields(Result)]
    return [Result(**{f: r[f] for f in fields}) for r in report["results"]], report["failures"]


def _write(
    args: argparse.Namespace,
    device: torch.device,
    results: Sequence[Result],
    failures: dict[str, str],
) -> None:
    report = {
        "machine": _machine(device),
        "tests": _tests(args.tests),
        "results": [{**dataclasses.asdict(r), "meets_goal": r.meets_goal} for r in results],
        "failures": failures,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / f"{args.name}.json", report, indent=2)
    write_file(args.out / f"{args.name}.md", _page(report, results))


def _row(result: Result) -> str:
    return (
        f"{result.name:<36}{result.value:>8.1f} {result.unit}{_goal(result)}\n"
        f"    {_times(result)}\n    {result.about}"
    )


def _goal(result: Result) -> str:
    if result.goal is None:
        return ""
    relation = ">=" if result.higher_is_better else "<="
    verdict = "met" if result.meets_goal else "MISSED"
    return f", goal {relation} {result.goal:g}: {verdict}"


def _times(result: Result) -> str:
    return ", ".join(f"{name} {ms:.2f} ms" for name, ms in result.milliseconds.items())


def _page(report: dict[str, Any], results: Sequence[Result]) -> str:
    """Return the figures as a table in Markdown, for docs/performance.md."""
    lines = [", ".join(f"{key} {value}" for key, value in report["machine"].items()), ""]
    lines += ["| what | figure | times | of |", "|---|---|---|---|"]
    lines += [
        f"| {r.name} | {r.value:.1f} {r.unit}{_goal(r)} | {_times(r)} | {r.about} |"
        for r in results
    ]
    if report["tests"] is not None:
        counts = ", ".join(f"{value} {key}" for key, value in report["tests"].items())
        lines += ["", f"GPU tests: {counts or 'no report; they took too long, or did not start'}"]
    lines += [
        f"\n{name} did not give all of its figures: {why}"
        for name, why in report["failures"].items()
    ]
    return "\n".join(lines) + "\n"


def _tests(report: Path | None) -> dict[str, int] | None:
    """Return how many tests there were, and failed, by pytest's report; None without one."""
    if report is None:
        return None
    if not report.is_file():
        return {}
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    return {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}


def _machine(device: torch.device) -> dict[str, Any]:
    is_cuda = device.type == "cuda"
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": usable_cores(),
        "torch_threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "device": torch.cuda.get_device_name(device) if is_cuda else "cpu",
    }


if __name__ == "__main__":
    sys.exit(main())
