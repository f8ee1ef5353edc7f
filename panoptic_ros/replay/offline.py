"""Replay a bag: every frame in order, none dropped, through the node's code."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from panoptic_ros.bags import BagMessage, Entry, stamp_ns
from panoptic_ros.demo.interrupt import interruptible
from panoptic_ros.distributed import Report
from panoptic_ros.evaluation.frame_scores import FrameScorer, FrameScores
from panoptic_ros.evaluation.report.pictures import ReportFrame, extremes
from panoptic_ros.evaluation.results import frame_pq
from panoptic_ros.evaluation.timing import SHARED_STAGES, fusion_stage, peak_memory
from panoptic_ros.evaluation.tracked_video import TrackedVideo
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.grid.velocity_blocks import velocity_blocks
from panoptic_ros.ground_stage import GroundStage
from panoptic_ros.labels import class_ids
from panoptic_ros.messages import ImageRefused, decode_labels
from panoptic_ros.messages.refusal import one_line
from panoptic_ros.output_messages import Answer, Placed
from panoptic_ros.pipeline import ImageUnfit, PanopticPipeline, PanopticResult
from panoptic_ros.prediction import NonFinitePrediction
from panoptic_ros.replay.ground_views import GroundViews
from panoptic_ros.replay.output import NODE, PanopticBag
from panoptic_ros.replay.source import COPIED_KINDS, BagSource, camera_image, stamp_text
from panoptic_ros.scores.track_accuracy import TrackScore
from panoptic_ros.tracking.markers import track_markers
from panoptic_ros.whole_files import LOCK

if TYPE_CHECKING:
    from panoptic_ros.rerun_log import RerunLog

BAG = "bag"


@dataclass
class ReplayOutcome:
    """Hold what a replay gave.

    timeline: one entry per frame, see docs/replay.md; scores: of the frames with a truth, and
    the best and worst of them to show; video: their `VideoQuality.counts`; tracks: their
    `TrackScore.counts`, nothing where there is no tracker; problems: what is broken; notes: what
    else is to be known, a line each; signal: that stopped it before the bag's end, or 0.
    """

    timeline: list[dict[str, Any]] = field(default_factory=list)
    scores: list[FrameScores] = field(default_factory=list)
    shown: list[ReportFrame] = field(default_factory=list)
    video: dict[str, Any] = field(default_factory=dict)
    tracks: list[Any] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    signal: int = 0


class Replay:
    """Run a pipeline and the ground stage over a bag's camera topic and write OUT/bag.

    topic, truth_topic: None chooses; keep: copies all of the bag's topics to the output; report:
    takes how many frames are done, and of how many, in place of a progress bar. Raise
    FileNotFoundError or ValueError where bag, topic or output folder are not what they should be.
    """

    def __init__(
        self,
        pipeline: PanopticPipeline,
        bag: Path,
        out: Path,
        topic: str | None = None,
        truth_topic: str | None = None,
        *,
        keep: bool = False,
        report: Report | None = None,
    ) -> None:
        if out.exists() and not out.is_dir():
            raise ValueError(f"{out} is no folder: choose another --out")
        # This command's own lock, or that of a killed one, is nothing.
        if out.exists() and any(not file.name.endswith(LOCK) for file in out.iterdir()):
            raise ValueError(f"{out} is not empty: choose another --out, nothing is overwritten")
        self._pipeline, self._out, self._keep = pipeline, out, keep
        self._report = report
        self._log: RerunLog | None = None
        self.source = BagSource(bag, topic, truth_topic)
        self._scorer = FrameScorer(pipeline.labels, pipeline.options)
        self._stage = GroundStage(pipeline.labels)
        self._video = TrackedVideo(pipeline.labels, "drive")
        self._tracks = TrackScore(pipeline.labels)
        self._tracks.start_sequence()
        self._start: int | None = None
        self._names: dict[Entry, str] = {}
        self._stamps: Counter[str] = Counter()
        self._not_copied: dict[str, str] = {}

    def __call__(self, log: RerunLog | None = None) -> ReplayOutcome:
        """Replay to the end of what can be read; SIGINT or SIGTERM ends it after a frame.

        log: where the frames are recorded, too. A disk that is full ends it, too, and is a
        problem.
        """
        self._log = log
        source, outcome = self.source, ReplayOutcome()
        with source, interruptible() as stopped:
            truth = source.truths()
            views = GroundViews(source.bag, source.camera) if source.camera else None
            try:
                self._write(truth, views, stopped, outcome)
                outcome.shown = self._shown(truth, outcome)
            except OSError as error:
                source.problems.append(str(error))
            outcome.signal = stopped[0] if stopped else 0
        if outcome.scores:
            outcome.video = self._video.quality.counts()
            outcome.tracks = self._tracks.counts() if self._stage.has_tracker else []
        outcome.problems = [*source.problems, *_missing_truth(source, outcome)]
        outcome.notes = [*self._not_copied.values(), *(views.missing() if views else ())]
        if not self._stage.has_tracker:
            outcome.notes.append("instances have no track ids: `trackers` cannot be imported")
        return outcome

    def _write(
        self,
        truth: dict[Entry, Entry],
        views: GroundViews | None,
        stopped: list[int],
        outcome: ReplayOutcome,
    ) -> None:
        source, bag = self.source, self.source.bag
        kinds = {t: kind for t, kind in bag.kinds.items() if not t.startswith(f"{NODE}/")}
        decoded = {t for t, kind in kinds.items() if kind in COPIED_KINDS}
        decoded |= {source.camera} if source.camera else set()
        topics = decoded | ({t.name for t in bag.topics} if self._keep else set())
        output = PanopticBag(self._out / BAG, bag.storage, bag.types, self._pipeline.labels)
        hidden = self._report is not None
        with (
            output,
            tqdm(total=source.frames, desc="replaying", unit="frame", disable=hidden) as bar,
        ):
            output.add_infos(bag.start, self._pipeline.options)
            for entry in bag.entries(topics):
                message = source.read(entry) if entry.topic.name in decoded else None
                data = message.data if message else bag.raw(entry)
                is_frame = entry.topic.name == source.camera
                if data is not None and (self._keep or not is_frame):
                    self._copy(entry, data, output)
                if is_frame and message and views:
                    self._frame(message, truth, views, output, outcome)
                    bar.update()
                    if self._report:
                        self._report(len(outcome.timeline), source.frames)
                if stopped:
                    break

    def _copy(self, entry: Entry, data: bytes, output: PanopticBag) -> None:
        topic = entry.topic
        if topic.name.startswith(f"{NODE}/"):
            reason = "the output has its own"
        else:
            try:
                output.copy(topic, entry.time, data)
                return
            except KeyError:
                kind = topic.kind if topic.is_cdr else f"{topic.kind} in {topic.serialization}"
                reason = f"its type {kind} is unknown and not defined in the bag"
        self._not_copied[topic.name] = f"{topic.name} is not copied: {reason}"

    def _frame(
        self,
        message: BagMessage,
        truth: dict[Entry, Entry],
        views: GroundViews,
        output: PanopticBag,
        outcome: ReplayOutcome,
    ) -> None:
        header = message.message.header
        if self._start is None:
            self._start = message.time
        entry = {"time": (message.time - self._start) / 1e9, "stamp": stamp_text(header)}
        begin = time.perf_counter()
        try:
            image = camera_image(message)
            decode = (time.perf_counter() - begin) * 1e3
            result = self._pipeline.run(image)
        # As in the node: whatever a network raises, a graph's runtime say, costs one frame.
        except Exception as error:
            is_told = isinstance(error, (ImageRefused, ImageUnfit, NonFinitePrediction))
            refusal = one_line(str(error) if is_told else f"{type(error).__name__}: {error}")
            outcome.timeline.append({**entry, "refused": refusal})
            self.source.problems.append(f"{message.topic} at {entry['stamp']} s: {refusal}")
            return
        answer = Answer(header, image, result, self._pipeline.labels)
        output.add_answer(message.time, answer)
        placed = self._placed(message, answer, views)
        output.add_placed(message.time, placed)
        segments = result.panoptic.segments
        entry["milliseconds"] = decode + result.timings["total"]
        entry["segments"] = len(segments)
        entry["instances"] = sum(s.is_thing for s in segments)
        pq = entry["pq"] = None
        # What is not written, as the disk is full, does not count.
        outcome.timeline.append(entry)
        labels = self._truth(truth.get(message.entry), image)
        if labels is not None:
            name = self._name(message)
            scores = self._score(name, labels, result, decode, placed.view)
            outcome.scores.append(scores)
            pq = frame_pq(scores, self._pipeline.fusion_name, self._pipeline.labels)
            entry["pq"] = pq
            found, tracks = result.panoptic.labels, placed.ground.track_ids
            self._video.add(labels, found, [s.id for s in segments if s.is_thing], tracks)
            self._tracks.add(labels, found, tracks)
        if self._log is not None:
            self._log.start(stamp_ns(header))
            self._log.add_picture(image, result.panoptic, placed.ground.track_ids, labels)
            self._log.add_figures({"decode": decode, **result.timings}, pq)
            self._log_ground(self._log, placed)

    def _log_ground(self, log: RerunLog, placed: Placed) -> None:
        ground, view = placed.ground, placed.view
        if view is not None:
            log.add_camera(view, placed.answer.result.panoptic.labels.shape)
        log.add_ground(
            view.pose if view else None,
            ground.frame.layers.occupancy if ground.frame else None,
            placed.window,
            track_markers(ground.tracks, self._pipeline.labels),
            velocity_blocks(ground.dynamic, placed.window) if ground.dynamic else None,
        )

    def _placed(self, message: BagMessage, answer: Answer, views: GroundViews) -> Placed:
        view = views.at(message, (answer.image.shape[0], answer.image.shape[1]))
        ground = self._stage(
            answer.result.panoptic,
            time_ns=stamp_ns(answer.header),
            view=view,
            image=answer.image,
            class_probabilities=True,
            dynamic=True,
            boxes=True,
        )
        if view is not None and ground.frame is None:
            views.miss(f"cannot be placed on the ground: {ground.problem}")
        return Placed(answer, ground, self._stage.window, views.odom_frame, view)

    def _name(self, message: BagMessage) -> str:
        """Return a frame's stamp, numbered where several have it."""
        text = stamp_text(message.message.header)
        self._stamps[text] += 1
        number = self._stamps[text]
        self._names[message.entry] = text if number == 1 else f"{text} ({number})"
        return self._names[message.entry]

    def _shown(self, truth: dict[Entry, Entry], outcome: ReplayOutcome) -> list[ReportFrame]:
        """Predict the best and the worst frames once more, to be looked at."""
        fusion, shown = self._pipeline.fusion_name, []
        labels = self._pipeline.labels
        quality = {scores.name: frame_pq(scores, fusion, labels) for scores in outcome.scores}
        ranks = {name: (r, pq) for r, group in extremes(quality) for name, pq in group.items()}
        for entry, name in self._names.items():
            message = self.source.bag.read(entry) if name in ranks else None
            true = self._truth(truth[entry]) if message else None
            if message is None or true is None:
                continue
            image, (rank, pq) = camera_image(message), ranks[name]
            prediction = self._pipeline(image).labels
            shown.append(
                ReportFrame(
                    name, fusion, "best" if rank == "best" else "worst", pq, image, true, prediction
                )
            )
        return sorted(shown, key=lambda f: (f.rank, f.pq if f.rank == "worst" else -f.pq))

    def _truth(self, entry: Entry | None, image: np.ndarray | None = None) -> np.ndarray | None:
        """Return the label image at a place, of the image's size if one is given."""
        message = self.source.bag.read(entry) if entry else None
        if message is None:
            return None
        try:
            labels = decode_labels(message.message)
            if image is not None and labels.shape != image.shape[:2]:
                raise ImageRefused(f"size {labels.shape}, the image has {image.shape[:2]}")
            self._check_classes(labels)
        except ImageRefused as refusal:
            self.source.problems.append(
                f"{message.topic} at {message.time / 1e9:.6f} s: not scored ({refusal})"
            )
            return None
        return labels

    def _check_classes(self, labels: np.ndarray) -> None:
        """Raise ImageRefused where a truth has values, and all of them are of no class."""
        values = np.unique(labels[labels > 0])
        known = self._pipeline.labels
        if len(values) and not np.isin(class_ids(values), known.ids).any():
            raise ImageRefused(
                f"its values {values[:5].tolist()} are of no class of {known.name}; it must have "
                "class_id, or class_id * 1000 + n for things"
            )

    def _score(
        self,
        name: str,
        truth: np.ndarray,
        result: PanopticResult,
        decode: float,
        view: GroundView | None,
    ) -> FrameScores:
        fusion, times = self._pipeline.fusion_name, result.timings
        depth = view.depth if view else None
        return self._scorer(
            name,
            truth,
            result,
            {fusion: result.panoptic},
            {
                "decode": decode,
                **{stage: times[stage] for stage in SHARED_STAGES},
                fusion_stage(fusion): times["fusion"],
            },
            peak_memory(self._pipeline.device),
            # Depth of another size is of the ground stage alone.
            depth if depth is not None and depth.shape == truth.shape else None,
        )


def _missing_truth(source: BagSource, outcome: ReplayOutcome) -> list[str]:
    """Say how many frames have no truth, in a bag that has some."""
    answered = sum("refused" not in entry for entry in outcome.timeline)
    missing = answered - len(outcome.scores)
    if source.truth is None or not missing or outcome.signal:
        return []
    return [f"{missing} of {answered} frames have no truth of their stamp on {source.truth}"]
