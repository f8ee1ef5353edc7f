"""The demo's car: publishes footage on `image`, with calibration and odometry where it has them.

Reports, one JSON object per line: {"event": "plan", "frames": n} once it knows how many
frames it will show, {"event": "published", "stamp_ns", "time"} after each, {"event":
"camera_done"} at the end.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import rclpy
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from panoptic_ros.demo.footage import Footage, Shot, open_footage
from panoptic_ros.msg import PanopticInstances
from panoptic_ros.ros import transforms
from panoptic_ros.ros.conversions import rgb8_image
from panoptic_ros.ros.program import report, running

# The first frames are shown one by one: the networks' first runs are slow, and only then is
# known how many frames per second this machine can hold.
_WARM_UP_FRAMES = 3
# What is published while the middleware still connects is lost, so the first frame is shown
# again until the node answers.
_FIRST_TRIES = 6
_ANSWER_SECONDS = 5.0
_CONNECT_SECONDS = 2.0
# Pictures are drawn and saved on the same cores.
_MARGIN = 1.3
_AGAIN_NS = 1_000_000
_FRAME = "camera_optical_frame"


class Camera(Node):
    """Publish shots and receive the node's answers.

    Stamps are as far apart as the shots were recorded, however long they take to show: what
    moves has its own speed in them.
    """

    def __init__(self, mounting: Mapping[str, float]) -> None:
        super().__init__("demo_camera")
        self._answered = 0
        self._start_ns = self.get_clock().now().nanoseconds
        self._newest_ns = 0
        self._publisher = self.create_publisher(Image, "image", 5)
        self._info = self.create_publisher(CameraInfo, "camera_info", 5)
        # A publisher that stays silent would be waited for.
        self._odometry = self.create_publisher(Odometry, "odom", 5) if mounting else None
        if mounting and transforms.is_available():
            self._broadcaster = transforms.broadcast_mounting(self, _FRAME, mounting)
        self.create_subscription(PanopticInstances, "panoptic/instances", self._on_answer, 5)

    def wait_for_panoptic(self) -> None:
        """Wait until the panoptic node subscribes."""
        while "panoptic" not in {
            info.node_name for info in self.get_subscriptions_info_by_topic("/image")
        }:
            self.rest(0.1)
        self.rest(_CONNECT_SECONDS)

    def show(self, shot: Shot) -> int:
        """Publish a shot; return its stamp in nanoseconds."""
        # One that is shown again is a newer one.
        self._newest_ns = max(self._start_ns + round(shot.time * 1e9), self._newest_ns + _AGAIN_NS)
        stamp = Time(nanoseconds=self._newest_ns)
        # Before the picture, so that nothing has to wait for them.
        for publisher, kind, recorded in (
            (self._info, CameraInfo, shot.info),
            (self._odometry, Odometry, shot.odometry),
        ):
            if publisher is not None and recorded is not None:
                message = deserialize_message(recorded, kind)
                message.header.stamp = stamp.to_msg()
                publisher.publish(message)
        header = Header(stamp=stamp.to_msg(), frame_id=_FRAME)
        self._publisher.publish(rgb8_image(shot.image, header))
        report("published", stamp_ns=stamp.nanoseconds, time=time.time())
        return stamp.nanoseconds

    def show_and_wait(self, shot: Shot) -> float | None:
        """Publish a shot and return the seconds until the answer; None where it stays out."""
        start = time.monotonic()
        stamp = self.show(shot)
        while (waited := time.monotonic() - start) < _ANSWER_SECONDS:
            if self._answered >= stamp:
                return waited
            rclpy.spin_once(self, timeout_sec=0.05)
        return None

    def rest(self, seconds: float) -> None:
        """Spin for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=left)

    def _on_answer(self, message: PanopticInstances) -> None:
        self._answered = Time.from_msg(message.header.stamp).nanoseconds


def play(camera: Camera, footage: Footage, seconds: float) -> None:
    """Show footage at the rate that the node can hold, for about so many seconds at most.

    If that is too short for all frames, they are subsampled evenly.
    """
    shots = footage.shots()
    first = next(shots)
    tries = (camera.show_and_wait(first) for _ in range(_FIRST_TRIES))
    answer = next((t for t in tries if t is not None), None)
    if answer is None:
        return
    for shot in islice(shots, _WARM_UP_FRAMES - 1):
        answer = camera.show_and_wait(shot) or _ANSWER_SECONDS
    interval = max(1 / footage.rate, _MARGIN * answer)
    rest = max(0, footage.count - _WARM_UP_FRAMES)
    left = max(1, min(rest, int(seconds / interval)))
    stride = max(1, rest // left)
    report("plan", frames=footage.count - rest + left)
    for shot, due in zip(islice(shots, 0, left * stride, stride), _beat(interval), strict=False):
        camera.rest(due - time.monotonic())
        camera.show(shot)


def _beat(interval: float) -> Iterator[float]:
    """Yield times that lie an interval apart, from now on."""
    due = time.monotonic()
    while True:
        yield due
        due += interval


def main() -> None:
    """Run the camera until the footage ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, help="default: the shipped drive")
    parser.add_argument("--frames", type=int, required=True, help="most frames to show")
    parser.add_argument("--seconds", type=float, required=True, help="longest time to show them")
    args = parser.parse_args()
    footage = open_footage(args.video, args.frames)
    with running():
        camera = Camera(footage.mounting)
        camera.wait_for_panoptic()
        play(camera, footage, args.seconds)
        report("camera_done")
        # Reliable messages may still be on their way; the parent ends this process.
        rclpy.spin(camera)


if __name__ == "__main__":
    main()
