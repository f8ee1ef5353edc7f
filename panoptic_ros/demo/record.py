"""What the demo's processes reported, and the summary of it."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_LATENCY_KEY = re.compile(r"latency_(\w+)_(p50|p95)_ms")

# The node reports each second; a frame is never so long on its way.
_QUIET_REPORTS = 2
# What the node's latencies are taken over.
_WINDOW_SECONDS = 10.0


@dataclass(frozen=True)
class SeenFrame:
    """Hold what the viewer got for a frame.

    camera: "" for the only one; picture: file name of the one that shows it; time: when it
    came, seconds; latency_ms: from the camera's publication until then; segments: how many by
    class id; instances: (class name, score), by falling score.
    """

    camera: str
    picture: str
    time: float
    latency_ms: float
    segments: dict[int, int]
    instances: list[tuple[str, float]]


@dataclass
class Record:
    """Collect reports (see ros/demo/camera_publisher.py and viewer.py for what they hold).

    cameras: the node's status of each by its name, empty for the only one.
    """

    classes: list[dict[str, Any]] = field(default_factory=list)
    frames: list[SeenFrame] = field(default_factory=list)
    planned: int | None = None
    published: dict[tuple[str, int], float] = field(default_factory=dict)
    camera_done: bool = False
    is_error: bool = False
    message: str = ""
    status_time: float = 0.0
    node: dict[str, str] = field(default_factory=dict)
    cameras: dict[str, dict[str, str]] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    failure: str = ""
    _unchanged: int = 0

    def add(self, event: dict[str, Any]) -> None:
        """Take in a report."""
        kind = event.pop("event")
        if kind == "classes":
            self.classes = event["classes"]
        elif kind == "status" and event["camera"]:
            self.cameras[event["camera"]] = event["values"]
        elif kind == "status":
            before = self._counts()
            self.is_error, self.message = event["is_error"], event["message"]
            self.status_time, self.node = event["time"], event["values"]
            self._unchanged = self._unchanged + 1 if self._counts() == before else 0
        elif kind == "frame":
            segments = {int(k): v for k, v in event.pop("segments").items()}
            published = self.published[event["camera"], event.pop("stamp_ns")]
            latency = (event["time"] - published) * 1e3
            self.frames.append(SeenFrame(**event, latency_ms=latency, segments=segments))
        elif kind == "picture":
            self.pictures.append(event["picture"])
        elif kind == "plan":
            self.planned = event["pictures"]
        elif kind == "published":
            self.published[event["camera"], event["stamp_ns"]] = event["time"]
        elif kind == "camera_done":
            self.camera_done = True
        elif kind == "failed":
            self.failure = event["reason"]
        else:
            raise ValueError(f"unknown report {kind!r}")

    def count(self, what: str) -> int:
        """Return the node's count of frames: in, out, dropped, refused or waiting."""
        return int(self.node.get(f"frames_{what}", 0))

    def _counts(self) -> list[str | None]:
        return [self.node.get(f"frames_{k}") for k in ("in", "out", "dropped", "refused")]

    def is_settled(self) -> bool:
        """Whether every frame that came to the node has left it, and the viewer has it."""
        return (
            self.camera_done
            and self._unchanged >= _QUIET_REPORTS
            and self.count("waiting") == 0
            and len(self.frames) == self.count("out")
        )

    def summary(self) -> dict[str, Any]:
        """Return the figures of the run, ready for JSON.

        frames_in = frames_out + frames_dropped + frames_refused, as the node counts;
        frames_published is the camera's count, frames_lost what of it never came to the
        node (it was not connected yet), frames_received the viewer's; grids: frames that the
        node placed on the ground; all of these of all cameras. latency_ms: of the run's last
        ten seconds, by camera ("camera" is the only one) and the node's stages; `received` is
        from the camera to the viewer. Stamps keep the recording's time, so their age says
        nothing.
        """
        of_cameras = self.cameras or {"": self.node}
        names = {c["id"]: c["name"] for c in self.classes}
        segments: Counter[int] = Counter()
        for frame in self.frames:
            segments.update(frame.segments)
        return {
            "frames_published": len(self.published),
            "frames_lost": len(self.published) - self.count("in"),
            **{f"frames_{k}": self.count(k) for k in ("in", "out", "dropped", "refused")},
            "frames_received": len(self.frames),
            "grids": int(self.node["grids_out"]),
            "latency_ms": {k or "camera": self._latency(k, v) for k, v in of_cameras.items()},
            "segments_per_class": {names[i]: n for i, n in sorted(segments.items())},
            "weights": self.node["weights"],
            "device": self.node["device"],
            "fusion": self.node["fusion"],
            "image_size": ", ".join(
                f"{k} {v['image_size']}".strip() for k, v in of_cameras.items()
            ),
            "last_refusal": self.node["last_refusal"],
        }

    def _latency(self, camera: str, status: dict[str, str]) -> dict[str, dict[str, float]]:
        stages: dict[str, dict[str, float]] = {}
        for key, value in status.items():
            match = _LATENCY_KEY.fullmatch(key)
            if match and match[1] != "age" and not math.isnan(float(value)):
                stages.setdefault(match[1], {})[match[2]] = float(value)
        since = self.status_time - _WINDOW_SECONDS
        recent = [f.latency_ms for f in self.frames if f.camera == camera and f.time > since]
        if recent:
            p50, p95 = np.percentile(recent, (50, 95))
            stages["received"] = {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}
        return stages
