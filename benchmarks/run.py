"""Run every bench of this folder, print a table and write bench_out/bench.json and bench.md.

A bench is a file bench_NAME.py with run(device), which gives Results, in a list or one by one. Each
runs in a process of its own: one that fails or hangs costs the others nothing, and is named.
"""

from __future__ import annotations

import argparse
import importlib
import math
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
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
# For a bench to end when it has given all that it has.
_GRACE_SECONDS = 10


def main() -> int:
    names = sorted(f.stem.removeprefix("bench_") for f in _FOLDER.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="benches to run")
    parser.add_argument("--out", type=Path, default=Path("bench_out"), help="folder to write")
    parser.add_argument("--name", default="bench", help="of the files (default: bench)")
    parser.add_argument("--until", type=float, help="end, in seconds since 1970 (default: none)")
    parser.add_argument("--tests", type=Path, metavar="XML", help="pytest's report, to count in")
    args = parser.parse_args()
    report = Report(args.out, args.name, args.tests)
    for done, name in enumerate(args.only):
        limit = None
        if args.until is not None:
            # Twice its share of what is left: what the others do not need, the last may use.
            limit = 2 * (args.until - time.time()) / (len(args.only) - done + 1)
        _run(name, args.device, limit, report)
    print(f"{report.machine}\nwritten to {args.out}: {args.name}.json, {args.name}.md")
    return 1 if report.failures else 0


@dataclass
class Report:
    """Hold what was measured, and why what is missing is; written after each figure."""

    out: Path
    name: str
    tests: Path | None
    machine: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def write(self) -> None:
        """Write the JSON and the table."""
        report = {
            "machine": self.machine,
            "tests": _tests(self.tests),
            "results": [{**asdict(r), "meets_goal": r.meets_goal} for r in self.results],
            "failures": self.failures,
        }
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(self.out / f"{self.name}.json", report, indent=2)
        write_file(self.out / f"{self.name}.md", _page(report, self.results))


def _run(name: str, device: str, limit: float | None, report: Report) -> None:
    """Let a process of its own run a bench, and end it after some seconds; None: never.

    It is forked before anything has touched a GPU, so that torch is imported once.
    """
    report.failures[name] = "left out: the time was over"
    if limit is not None and limit <= 0:
        report.write()
        return
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(name, device, theirs), daemon=False)
    process.start()
    theirs.close()
    report.failures[name] = "it ended without a word"
    end = math.inf if limit is None else time.monotonic() + limit
    try:
        while True:
            if not ours.poll(None if limit is None else max(0, end - time.monotonic())):
                report.failures[name] = f"it was ended after {limit:.0f} s"
                process.kill()
                break
            part = ours.recv()
            if isinstance(part, Result):
                report.results.append(part)
            elif isinstance(part, dict):
                report.machine = part
            elif part is None:
                del report.failures[name]
                break
            else:
                report.failures[name] = part
            report.write()
    except EOFError:  # It is gone; what it said of itself last holds.
        pass
    finally:
        process.join(_GRACE_SECONDS)
        process.kill()
        process.join()
    if name in report.failures:
        print(f"bench {name}: {report.failures[name]}", file=sys.stderr, flush=True)
    report.write()


def _measure(name: str, device_name: str, pipe: Connection) -> None:
    """Send the machine, each Result, and None, or what went wrong."""
    try:
        device = torch_device(device_name)
        pipe.send(_machine(device))
        for result in importlib.import_module(f"bench_{name}").run(device):
            print(_row(result), flush=True)
            pipe.send(result)
        pipe.send(None)
    except Exception as error:  # One bench that cannot measure must not cost the others.
        pipe.send(f"{type(error).__name__}: {error}")


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
