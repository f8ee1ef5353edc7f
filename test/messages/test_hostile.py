"""Nothing that a message can say crashes its decoder, or is taken for what it is not."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hostile import KINDS, Draw, damaged

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.messages import decode_compressed, decode_depth, decode_image, decode_points

# NumPy's warnings pass every throttle of the log.
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
SEED, MUTATIONS = 11, 50
LONGEST_REASON = 400


def decode_calibration(message):
    """Return what the ground stage computes of a calibration."""
    camera = CameraModel.from_camera_info(message).scaled((12, 24))
    camera.rays(np.array([[3.0, 4.0]]))
    return camera.project(np.array([[0.1, 0.2, 5.0]]))[0]


DECODERS = {
    "image": (decode_image, np.uint8, 3),
    "compressed": (decode_compressed, np.uint8, 3),
    "camera_info": (decode_calibration, np.float64, 2),
    "points": (decode_points, np.float32, 2),
    "depth": (decode_depth, np.float32, 2),
}


@pytest.mark.parametrize(("topic", "kind"), [k for k in KINDS if k[0] in DECODERS])
def test_any_damage_gives_an_array_or_a_reason(topic, kind, capfd):
    decode, dtype, dimensions = DECODERS[topic]
    for number in range(MUTATIONS):
        message = damaged(topic, kind, Draw(SEED, number))
        try:
            found = decode(message)
        except ValueError as refusal:
            reason = str(refusal)
            assert reason, number
            if topic != "camera_info":
                assert len(reason) <= LONGEST_REASON
            continue
        assert (found.dtype, found.ndim) == (dtype, dimensions), number
        if topic in ("points", "depth"):
            assert np.isfinite(found).all(), number
    assert capfd.readouterr().err == ""


CLOUDS = """
import faulthandler, sys
faulthandler.enable()
sys.path[:0] = {paths!r}
from hostile import KINDS, Draw, damaged
from panoptic_ros.messages import decode_points
kinds = [kind for topic, kind in KINDS if topic == "points"]
for seed in range({first}, {last}):
    print(seed, flush=True)
    draw = Draw(seed)
    message = damaged("points", draw.one(kinds), draw)
    for _ in range(draw.below(3)):
        again = damaged("points", draw.one(kinds), draw)
        vars(message).update({{k: v for k, v in vars(again).items() if draw.below(2)}})
    try:
        decode_points(message)
    except ValueError:
        pass
"""


def test_no_cloud_ends_the_process():
    """4,000 of them, in processes of their own that are told apart by their last line."""
    root = Path(__file__).parents[2]
    paths = [str(root), str(root / "test/helpers")]

    def run(first, count=2000):
        program = CLOUDS.format(paths=paths, first=first, last=first + count)
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        seeds = done.stdout.split()
        assert done.returncode == 0, f"cloud of seed {seeds[-1:]}: {done.stderr}"
        return len(seeds)

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(run, range(0, 4000, 2000))) == 4000
