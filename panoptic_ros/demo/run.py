"""The demo from start to end: cameras, node and viewer as processes, results in a folder."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from panoptic_ros.demo import demo_page as page
from panoptic_ros.demo.footage import Footage, open_footage
from panoptic_ros.demo.interrupt import EXIT_SIGNAL, interruptible
from panoptic_ros.demo.panels import write_film
from panoptic_ros.demo.processes import Children, DemoError
from panoptic_ros.demo.record import Record
from panoptic_ros.demo.surroundings import private_environment, require_ros, ros_arguments
from panoptic_ros.whole_files import write_file, write_json

_VIEWER = "viewer"
PICTURES, FILM, PAGE, SUMMARY = "pictures", "demo.mp4", "index.html", "summary.json"
# A busy machine's; it ends when the node is active.
_START_SECONDS = 180.0
# With start and film this keeps a demo that nothing delays at 90 s on two cores.
_SHOW_SECONDS = 36.0
_SETTLE_SECONDS = 20.0
_GROUND_SECONDS = 2.0
# Of the grid's window, whose length stays: a camera looks back.
_BEHIND_METRES = 20.0


def run(
    out: Path,
    video: Path | None,
    weights: str,
    device: str,
    frames: int,
    recording: Path | None = None,
) -> dict[str, Any]:
    """Run the demo and return its summary, with what it wrote in the folder `out`.

    recording: file for Rerun, None: none. Raise FileNotFoundError or ValueError for a video
    that cannot be read, FileExistsError for files of somebody else's, DemoError where no picture
    came out, with the reason.
    """
    start = time.monotonic()
    footage = open_footage(video, frames)
    require_ros()
    _prepare(out, video)
    show = ["--frames", str(frames), "--seconds", str(_SHOW_SECONDS)]
    if video is not None:
        show += ["--video", str(video)]
    parameters = _node_parameters(weights, device, footage.mountings)
    record = _play(out, footage, show, parameters, recording)
    if not record.pictures:
        raise DemoError(
            f"no picture came out of the node: {record.message}; see {out / 'node.log'}"
        )
    files = [out / PICTURES / picture for picture in record.pictures]
    has_film = write_film(files, out / FILM, footage.rate * len(files) / footage.count)
    summary = {
        "input": footage.name,
        **record.summary(),
        "duration_s": round(time.monotonic() - start, 1),
    }
    write_json(out / SUMMARY, summary, indent=2)
    write_file(out / PAGE, page.render(summary, record, PICTURES, FILM if has_film else None))
    return summary


def _play(
    out: Path, footage: Footage, show: list[str], parameters: list[str], recording: Path | None
) -> Record:
    """Run the processes and return what they have reported.

    show, parameters: the cameras' and the node's arguments.
    """
    record = Record()
    with interruptible() as stopped, Children(out, private_environment()) as children:
        viewer = ["--pictures", str(out / PICTURES), "--mountings", json.dumps(footage.mountings)]
        if recording is not None:
            viewer += ["--rerun", str(recording)]
        children.start(_VIEWER, "panoptic_ros.ros.demo.viewer", *viewer, reports=True)
        children.start("node", "panoptic_ros.ros.node", *parameters)
        _wait_until_active(children, record, stopped)
        children.start("camera", "panoptic_ros.ros.demo.camera_publisher", *show, reports=True)
        _watch(children, record, footage.count, stopped)
    return record


def _node_parameters(
    weights: str, device: str, mountings: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Return ROS arguments; every frame shall arrive, so that all can be accounted for."""
    parameters: dict[str, object] = {
        "weights": weights,
        "device": device,
        "qos.reliability": "reliable",
        # Nothing moves on while a frame waits, however busy the machine is.
        "ground.timeout": _GROUND_SECONDS,
    }
    if mountings:
        parameters["cameras"] = f"[{', '.join(mountings)}]"
        parameters["ground.window.x_min"] = -_BEHIND_METRES
    for camera, mounting in mountings.items():
        parameters |= {f"{camera}.ground.camera.{k}": f"{v:.6f}" for k, v in mounting.items()}
    return ros_arguments(parameters)


def _wait_until_active(children: Children, record: Record, stopped: list[int]) -> None:
    """Wait for the node's label info, which it publishes on activation."""
    end = time.monotonic() + _START_SECONDS
    while not record.classes:
        _take_in(children, record, stopped)
        if record.is_error:
            raise DemoError(
                f"the node does not start: {record.message}\n"
                "Other models: --weights NAME (make demo WEIGHTS=NAME). `random` runs untrained "
                "networks, whose labels mean nothing but show that all parts work together."
            )
        if time.monotonic() > end:
            raise DemoError(f"the node was not active after {_START_SECONDS:.0f} s")


def _watch(children: Children, record: Record, pictures: int, stopped: list[int]) -> None:
    """Show a progress bar of the pictures until every frame is accounted for."""
    end = time.monotonic() + _START_SECONDS + _SHOW_SECONDS
    is_done = False
    with tqdm(total=pictures, unit="picture", disable=not sys.stdout.isatty()) as bar:
        while not record.is_settled() and time.monotonic() < end:
            _take_in(children, record, stopped)
            bar.total = record.planned or pictures
            bar.set_postfix(
                shown=len(record.published), dropped=record.count("dropped"), refresh=False
            )
            bar.update(len(record.pictures) - bar.n)
            if record.camera_done and not is_done:
                is_done, end = True, time.monotonic() + _SETTLE_SECONDS


def _take_in(children: Children, record: Record, stopped: list[int]) -> None:
    if stopped:
        sys.exit(EXIT_SIGNAL + stopped[0])
    for event in children.events(timeout=0.2):
        record.add(event)
    if record.failure:
        raise DemoError(record.failure)


def _prepare(out: Path, video: Path | None) -> None:
    """Remove what an earlier demo left; raise FileExistsError for what is somebody else's."""
    pictures, written = out / PICTURES, [out / name for name in (FILM, PAGE, SUMMARY)]
    there = next((path for path in (pictures, *written) if path.exists()), None)
    if there is not None and not (out / f"{_VIEWER}.log").exists():
        raise FileExistsError(f"{there} is of no earlier demo: choose another --out")
    if video is not None and video.resolve() == (out / FILM).resolve():
        raise FileExistsError(f"{video} would be written over: choose another --out")
    for file in (*pictures.glob("[0-9]*.png"), *written):
        file.unlink(missing_ok=True)
    pictures.mkdir(parents=True, exist_ok=True)
