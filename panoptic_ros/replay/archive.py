"""Replay many bags on many workers, and sum up what they gave."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from panoptic_ros.distributed import Event, Report, Workers, run_jobs
from panoptic_ros.evaluation.console_tables import NOTHING, percent
from panoptic_ros.evaluation.report.page import write_report
from panoptic_ros.evaluation.report.tables import ReportTable
from panoptic_ros.evaluation.run_facts import run_facts
from panoptic_ros.evaluation.run_state import changes, fingerprint
from panoptic_ros.model.config import load_model_config
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.replay.offline import Replay, ReplayOutcome
from panoptic_ros.replay.replay_results import (
    REPORT,
    RESULTS,
    WRITTEN,
    read_scores,
    replay_results,
    write_replay,
)
from panoptic_ros.whole_files import write_json

INDEX = "index.html"


@dataclass(frozen=True)
class ReplayOptions:
    """Say how bags are replayed; the fields are the command's options."""

    weights: str = "town"
    fusion: str | None = None
    device: str = "auto"
    topic: str | None = None
    truth_topic: str | None = None
    keep: bool = False


@dataclass(frozen=True)
class BagJob:
    """Name a bag, the folder for its replay, and what is kept there to know it by."""

    bag: Path
    out: Path
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class BagReplayer:
    """Load a model once and replay one bag after the other; a `Loader`."""

    options: ReplayOptions

    def __call__(self) -> Callable[[BagJob, Report], dict[str, Any]]:
        """Return a function that replays a bag and returns its results without its frames."""
        options = self.options
        pipeline = PanopticPipeline.load(
            options.weights, device=options.device, fusion=options.fusion
        )
        return partial(_replay_bag, pipeline, options)


@dataclass
class Archive:
    """Know the bags of an archive, and which of them are replayed.

    jobs: name -> what is to do; done: name -> a replay in brief; failed: name -> why it could
    not be replayed. A name is that of a folder below `out`.
    """

    out: Path
    options: ReplayOptions
    jobs: dict[str, BagJob] = field(default_factory=dict)
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, bags: Sequence[Path], out: Path, options: ReplayOptions) -> Archive:
        """Find out what is done of some bags.

        A result counts where the bag is as large as it was. Raise FileNotFoundError or
        ValueError for a model that cannot be, and for results of other options.
        """
        archive = cls(out, options)
        known = _replays_below(out)
        taken = {folder.name for folder, _ in known.values()}
        model = fingerprint(load_model_config(options.weights))
        settings = {**asdict(options), "model": model}
        for bag in dict.fromkeys(Path(os.path.realpath(path)) for path in bags):
            own = {**settings, "bytes": _size(bag)}
            folder, brief = known.get(str(bag), (None, None))
            if folder is None:
                folder = out / _free_name(bag, taken)
                taken.add(folder.name)
            archive.jobs[folder.name] = BagJob(bag, folder, own)
            if brief and not brief["replay"]["interrupted"]:
                before = brief["replay"]["settings"]
                if changed := changes(before, settings, settings):
                    raise ValueError(
                        f"{folder} holds a replay with other options: {changed}; "
                        "choose another --out, or delete it"
                    )
                if before == own:
                    archive.done[folder.name] = brief
        return archive

    @property
    def problems(self) -> dict[str, list[str]]:
        """What is broken, by the bag's name."""
        found = {name: [reason] for name, reason in self.failed.items()}
        found |= {name: brief["replay"]["problems"] for name, brief in self.done.items()}
        return {name: found[name] for name in self.jobs if found.get(name)}

    def replay(
        self,
        workers: Workers,
        count: int,
        show: Callable[[Event], None],
        stopped: Collection[int] = (),
    ) -> None:
        """Replay what is not done, see `run_jobs`; show: takes every event."""
        missing = {name: job for name, job in self.jobs.items() if name not in self.done}
        for event in run_jobs(workers, count, missing, stopped):
            if event.kind == "done":
                self.done[event.of] = event.content
            elif event.kind == "failed":
                self.failed[event.of] = event.content
            show(event)

    def results(self) -> dict[str, Any]:
        """Return the results as of one replay over all bags that are done, and `bags`.

        Every score is computed from the frames' counts and matches, in the order of the bags.
        Raise ValueError that names a file of scores that cannot be read.
        """
        outcome = ReplayOutcome()
        briefs = {name: self.done[name] for name in self.jobs if name in self.done}
        for name, brief in briefs.items():
            full = json.loads((self.out / name / RESULTS).read_bytes())
            outcome.timeline += [{"bag": name, **entry} for entry in full["timeline"]]
            scores, video, tracks = read_scores(self.out / name)
            outcome.scores += [replace(s, name=f"{name}/{s.name}") for s in scores]
            outcome.video |= {f"{name}/{sequence}": counts for sequence, counts in video.items()}
            outcome.tracks += tracks
            outcome.notes += [f"{name}: {note}" for note in brief["replay"]["notes"]]
        for name, lines in self.problems.items():
            outcome.problems += [f"{name}: {line}" for line in lines]
        models = [brief["model"] for brief in briefs.values()]
        results = replay_results(
            outcome,
            load_model_config(self.options.weights).labels,
            next((brief["fusion"] for brief in briefs.values()), "none"),
            dataset={"name": "bags", "root": str(self.out), "split": self.options.topic or ""},
            model={
                **(models[0] if models else {"name": self.options.weights}),
                "device": ", ".join(sorted({model["device"] for model in models})),
            },
            peak_mib={},
        )
        results["run"] = run_facts()
        results["bags"] = {name: self._entry(name) for name in self.jobs}
        return results

    def write(self) -> dict[str, Any]:
        """Write OUT/results.json and OUT/index.html; return the former's content."""
        results = self.results()
        write_json(self.out / RESULTS, results)
        # Its frames are on the bags' own pages.
        page = {k: v for k, v in results.items() if k not in ("frames", "timeline")}
        page["title"] = f"Replay of {len(self.jobs)} bags"
        page["tables"] = [bag_table(results["bags"])]
        page["links"] = {RESULTS: RESULTS}
        write_report(page, [], self.out / INDEX)
        return results

    def _entry(self, name: str) -> dict[str, Any]:
        """Return what the whole's results say of one bag."""
        if name not in self.done:
            reason = self.failed.get(name, "not replayed yet")
            return {"bag": str(self.jobs[name].bag), "failed": reason}
        replay = self.done[name]["replay"]
        keys = ("bag", "frames", "answered", "refused", "scored", "problems", "seconds")
        return {**{key: replay[key] for key in keys}, "pq": self.done[name]["pq"]}


def bag_table(bags: Mapping[str, Mapping[str, Any]]) -> ReportTable:
    """Return a row per bag, with a link to its report."""
    rows, links = [], {}
    for name, entry in bags.items():
        problems = [entry["failed"]] if "failed" in entry else entry["problems"]
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        words = problems[0] + more if problems else ""
        counts = [entry.get(key) for key in ("frames", "answered", "refused", "scored")]
        cells = [NOTHING if count is None else str(count) for count in counts]
        seconds = f"{entry['seconds']:.1f}" if "seconds" in entry else NOTHING
        rows.append((name, *cells, percent(entry.get("pq")), seconds, words))
        if "failed" not in entry:
            links[name] = quote(f"{name}/{REPORT}")
    header = ("bag", "frames", "answered", "refused", "scored", "PQ %", "seconds", "broken")
    return ReportTable("Bags", header, tuple(rows), links=links)


def _replay_bag(
    pipeline: PanopticPipeline, options: ReplayOptions, job: BagJob, report: Report
) -> dict[str, Any]:
    """Replay a bag into its folder, from which the rest of an earlier try goes."""
    for name in WRITTEN:
        _remove(job.out / name)
        # What a kill has left of a file.
        _remove(job.out / f"{name}.partial")
    begin = time.monotonic()
    replay = Replay(
        pipeline,
        job.bag,
        job.out,
        options.topic,
        options.truth_topic,
        keep=options.keep,
        report=report,
    )
    outcome = replay()
    if outcome.signal:
        # Whoever ended this process has not ended the replay: another worker takes up the bag.
        signal.signal(outcome.signal, signal.SIG_DFL)
        os.kill(os.getpid(), outcome.signal)
    facts = {"settings": dict(job.settings), "seconds": time.monotonic() - begin}
    return _brief(write_replay(outcome, pipeline, job.bag, replay.source.camera, job.out, facts))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _brief(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an archive has to know of a replay, without its frames."""
    fusion, *_ = results["timing"]["end_to_end"]
    panoptic = (results.get("fusion") or {}).get(fusion, {}).get("panoptic")
    return {
        "replay": results["replay"],
        "model": results["model"],
        "fusion": fusion,
        "pq": panoptic and panoptic["all"]["pq"],
    }


def _replays_below(out: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return the bags that a folder has finished replays of: bag -> folder, replay in brief."""
    found = {}
    for file in sorted(out.glob(f"*/{RESULTS}")):
        try:
            brief = _brief(json.loads(file.read_bytes()))
            replay = brief["replay"]
            # All that `Archive.open` asks of it.
            bag, _, _ = str(replay["bag"]), replay["interrupted"], dict(replay["settings"])
        # Of something else, which may be any JSON.
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        found[bag] = file.parent, brief
    return found


def _size(bag: Path) -> int:
    """Return how large a bag is, bytes; 0 where there is none."""
    files = bag.rglob("*") if bag.is_dir() else [bag]
    return sum(file.stat().st_size for file in files if file.is_file())


def _free_name(bag: Path, taken: Collection[str]) -> str:
    """Return a name for a bag's folder: its own, with its folder's where that is taken."""
    own = bag.stem if bag.suffix in (".mcap", ".db3") else bag.name
    names = [own, f"{bag.parent.name}_{own}", *(f"{own}_{i}" for i in range(2, len(taken) + 3))]
    # Without what rosbags' writer of sqlite3 loses.
    plain = (re.sub("[?#%]", "_", name) for name in names)
    return next(name for name in plain if name not in taken)
