"""The demo's car: publishes footage on `image`, with calibration and odometry where it has them.

Of several cameras each has topics of its own, as `front/image`.

Reports, one JSON object per line: {"event": "plan", "pictures": n} once it knows how many
moments it will show, {"event": "published", "camera", "stamp_ns", "time"} after each frame,
{"event": "camera_done"} at the end.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import rclpy
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from panoptic_ros.demo.footage import Footage, Shot, open_footage, thinned
from panoptic_ros.msg import PanopticInstances
from panoptic_ros.ros import transforms
from panoptic_ros.ros.conversions import MESSAGES
from panoptic_ros.ros.program import report, rest, running, wait_for_subscribers

# The first moments are shown one by one: the networks' first runs are slow, and only then is
# known how many frames per second this machine can hold.
_WARM_UP_MOMENTS = 3
# What is published while the middleware still connects is lost, so the first moment is shown
# again until the node answers.
_FIRST_TRIES = 6
_ANSWER_SECONDS = 5.0
_CONNECT_SECONDS = 2.0
# Pictures are drawn and saved on the same cores.
_MARGIN = 1.3
# A shot that is shown again is so much newer, and one of the same moment too: the grid of the
# last stamp is the one that has seen all cameras.
_STEP_NS = 1_000_000


class Car(Node):
    """Publish what its cameras take and receive the node's answers.

    mountings: of each camera by its name, empty for the only one of an unknown place. Stamps are
    as far apart as the shots were recorded, however long they take to show: what moves has its
    own speed in them.
    """

    def __init__(self, mountings: Mapping[str, Mapping[str, float]]) -> None:
        super().__init__("demo_car")
        self._start_ns = self.get_clock().now().nanoseconds
        self._newest_ns = 0
        # A publisher that stays silent would be waited for.
        self._odometry = self.create_publisher(Odometry, "odom", 5) if mountings else None
        self._images: dict[str, Publisher] = {}
        self._infos: dict[str, Publisher] = {}
        self._answered = dict.fromkeys(mountings or ("",), 0)
        for camera in self._answered:
            place = f"{camera}/" if camera else ""
            self._images[camera] = self.create_publisher(Image, f"{place}image", 5)
            self._infos[camera] = self.create_publisher(CameraInfo, f"{place}camera_info", 5)
            self.create_subscription(
                PanopticInstances,
                f"panoptic/{place}instances",
                lambda message, camera=camera: self._on_answer(camera, message),
                5,
            )
        self._broadcasters = [
            transforms.broadcast_mounting(self, _frame(camera), mounting)
            for camera, mounting in mountings.items()
            if transforms.is_available()
        ]

    def wait_for_panoptic(self) -> None:
        """Wait until the panoptic node subscribes."""
        for publisher in self._images.values():
            wait_for_subscribers(self, publisher.topic_name, ["panoptic"])
        rest(self, _CONNECT_SECONDS)

    def show(self, shot: Shot) -> int:
        """Publish a shot; return its stamp in nanoseconds."""
        self._newest_ns = max(self._start_ns + round(shot.time * 1e9), self._newest_ns + _STEP_NS)
        stamp = Time(nanoseconds=self._newest_ns)
        # Before the picture, so that nothing has to wait for them.
        for publisher, kind, recorded in (
            (self._infos[shot.camera], CameraInfo, shot.info),
            (self._odometry, Odometry, shot.odometry),
        ):
            if publisher is not None and recorded is not None:
                message = deserialize_message(recorded, kind)
                message.header.stamp = stamp.to_msg()
                publisher.publish(message)
        header = Header(stamp=stamp.to_msg(), frame_id=_frame(shot.camera))
        self._images[shot.camera].publish(MESSAGES.image(shot.image, "rgb8", header))
        report("published", camera=shot.camera, stamp_ns=stamp.nanoseconds, time=time.time())
        return stamp.nanoseconds

    def show_and_wait(self, moment: Sequence[Shot]) -> float | None:
        """Publish a moment and return the seconds until the answers; None where one stays out."""
        start = time.monotonic()
        stamps = {shot.camera: self.show(shot) for shot in moment}
        while (waited := time.monotonic() - start) < _ANSWER_SECONDS:
            if all(self._answered[camera] >= stamp for camera, stamp in stamps.items()):
                return waited
            rclpy.spin_once(self, timeout_sec=0.05)
        return None

    def _on_answer(self, camera: str, message: PanopticInstances) -> None:
        self._answered[camera] = Time.from_msg(message.header.stamp).nanoseconds


def _frame(camera: str) -> str:
    return f"{camera or 'camera'}_optical_frame"


def play(car: Car, footage: Footage, seconds: float) -> None:
    """Show footage at the rate that the node can hold, for about so many seconds at most.

    If that is too short for all moments, they are subsampled evenly.
    """
    moments = footage.moments()
    first = next(moments)
    tries = (car.show_and_wait(first) for _ in range(_FIRST_TRIES))
    answer = next((t for t in tries if t is not None), None)
    if answer is None:
        return
    for moment in islice(moments, _WARM_UP_MOMENTS - 1):
        answer = car.show_and_wait(moment) or _ANSWER_SECONDS
    interval = max(1 / footage.rate, _MARGIN * answer)
    others = max(0, footage.count - _WARM_UP_MOMENTS)
    left = max(1, min(others, int(seconds / interval)))
    stride = max(1, others // left)
    report("plan", pictures=footage.count - others + left)
    chosen = islice(thinned(moments, stride), left)
    for moment, due in zip(chosen, _beat(interval), strict=False):
        rest(car, due - time.monotonic())
        for shot in moment:
            car.show(shot)


def _beat(interval: float) -> Iterator[float]:
    """Yield times that lie an interval apart, from now on."""
    due = time.monotonic()
    while True:
        yield due
        due += interval


def main() -> None:
    """Run the cameras until the footage ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, help="default: the shipped drive")
    parser.add_argument("--frames", type=int, required=True, help="most moments to show")
    parser.add_argument("--seconds", type=float, required=True, help="longest time to show them")
    args = parser.parse_args()
    footage = open_footage(args.video, args.frames)
    with running():
        car = Car(footage.mountings)
        car.wait_for_panoptic()
        play(car, footage, args.seconds)
        report("camera_done")
        # Reliable messages may still be on their way; the parent ends this process.
        rclpy.spin(car)


if __name__ == "__main__":
    main()
