"""A bag played in real time to a node, and what the evaluator says of it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rosbags.rosbag2 import StoragePlugin

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import numpy as np
from made_bags import CAMERA, SIZE, START, STEP, TRUTH, compressed, drive, picture, raw, write
from node_process import wait_for

FRAMES = 6


def command(bag, out, model, *options):
    return [
        *(sys.executable, "-m", "panoptic_ros", "replay", str(bag), "--live", "--out", str(out)),
        *("--weights", str(model), "--device", "cpu", *options),
    ]


def test_a_bag_is_played_answered_and_scored(tmp_path, tiny_model):
    bag, out = drive(tmp_path / "bag", FRAMES), tmp_path / "out"
    done = subprocess.run(
        command(bag, out, tiny_model, "--rate", "0.3"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((out / "live.json").read_text())
    assert results["topic"] == CAMERA
    frames = results["frames"]
    assert frames["published"] == FRAMES
    assert frames["answered"] + frames["dropped"] == FRAMES
    assert 1 <= frames["answered"] == frames["scored"]
    assert results["latency_ms"]["mean"] > 0
    assert 0 <= results["panoptic"]["all"]["pq"] <= 1
    assert "Latency" in done.stdout


def test_decades_in_the_log_are_not_waited_for():
    from panoptic_ros.ros.replay.player import timeline

    # The clock was set after the second message.
    times = [5 * 10**9, 6 * 10**9, START, START + STEP, START + 599 * 10**9]
    problems = []
    messages = [SimpleNamespace(topic=CAMERA, time=time) for time in times]
    assert [at for at, _ in timeline(messages, problems)] == [0, 1, 1, 1.1, 600]
    (problem,) = problems
    assert problem.startswith(f"{CAMERA} at 1700000000.000000 s: nothing was logged in the 16999")


def test_a_model_that_is_not_there_ends_it_with_the_reason(tmp_path):
    done = subprocess.run(
        command(drive(tmp_path / "bag"), tmp_path / "out", "no_such_model"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "no_such_model" in done.stderr
    assert not (tmp_path / "out" / "live.json").exists()


def test_frames_of_one_stamp_are_counted_but_not_scored(tmp_path, tiny_model):
    # A camera whose clock stands still.
    times = [START + i * STEP for i in range(FRAMES)]
    messages = [(CAMERA, time, raw(START, picture(i))) for i, time in enumerate(times)]
    labels = compressed(START, np.full(SIZE, 7, np.uint16))
    messages += [(TRUTH, time, labels) for time in times]
    bag, out = write(tmp_path / "bag", messages, StoragePlugin.MCAP), tmp_path / "out"
    done = subprocess.run(
        command(bag, out, tiny_model, "--rate", "0.2"), capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 1, done.stdout + done.stderr
    results = json.loads((out / "live.json").read_text())
    frames = results["frames"]
    assert (frames["published"], frames["scored"]) == (FRAMES, 0)
    assert 1 <= frames["answered"] == FRAMES - frames["dropped"]
    stamp = f"the stamps {START / 1e9:.9f} s belong to several images"
    assert any(stamp in problem for problem in results["problems"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_processes(tmp_path, tiny_model, number, code):
    # Ten seconds between frames: it cannot end by itself.
    bag = drive(tmp_path / "bag", image=compressed)
    arguments = command(bag, tmp_path / "out", tiny_model, "--rate", "0.01")
    environment = {**os.environ, "PANOPTIC_TEST_RUN": str(tmp_path)}
    process = subprocess.Popen(arguments, env=environment)
    setting = f"PANOPTIC_TEST_RUN={tmp_path}"
    # The last one that is started, when the others are ready.
    wait_for((tmp_path / "out" / "player.log").exists, "all processes")
    process.send_signal(number)
    assert process.wait(30) == code
    wait_for(lambda: not _processes_with(setting), "the end of all processes")
    results = json.loads((tmp_path / "out" / "live.json").read_text())
    assert results["problems"][-1] == "interrupted"


def _processes_with(setting):
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if setting.encode() in file.read_bytes():
                found.append(file.parent.name)
        except OSError:
            continue
    return found
