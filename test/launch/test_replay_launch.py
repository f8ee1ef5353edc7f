"""The live replay as its users run it: `ros2 launch panoptic_ros replay.launch.py bag:=...`."""

import json
import tempfile
import unittest
from importlib.util import find_spec
from pathlib import Path

import pytest

launch_testing = pytest.importorskip("launch_testing", reason="needs ROS 2's launch_testing")
pytest.importorskip("launch_ros", reason="needs ROS 2's launch_ros")

from launch_testing.asserts import assertExitCodes
from launched import launched
from made_bags import CAMERA, TRUTH, drive

SCRATCH = tempfile.TemporaryDirectory(prefix="panoptic_launch_")
REPORT = Path(SCRATCH.name) / "live.json"


@pytest.mark.skipif(not find_spec("ros2bag"), reason="needs ros2 bag play (ros2bag)")
@pytest.mark.launch_test
def generate_test_description():
    arguments = {
        "bag": str(drive(Path(SCRATCH.name) / "bag", frames=6)),
        "image": CAMERA,
        "truth": TRUTH,
        "weights": "random",
        "device": "cpu",
        "rate": "0.1",
        "report_file": str(REPORT),
    }
    return launched("replay.launch.py", arguments)


class TestWhileItRuns(unittest.TestCase):
    def test_the_evaluator_reports(self, proc_info):
        proc_info.assertWaitForShutdown(process="replay_evaluator", timeout=120)


@launch_testing.post_shutdown_test()
class TestAfterItsEnd(unittest.TestCase):
    def test_all_end_with_exit_code_zero(self, proc_info):
        assertExitCodes(proc_info)

    def test_frames_were_answered_and_scored(self):
        frames = json.loads(REPORT.read_text())["frames"]
        assert 1 <= frames["answered"] == frames["scored"] <= frames["published"] <= 6
