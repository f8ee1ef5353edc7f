"""Show a node what nobody should send, and see whether it lives, counts, and stays small."""

import time

import cv2
import hostile
import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from driven_car import SHAPE, STREET, Car, node_parameters
from hostile import KINDS, TYPES, Draw, damaged, ros_message
from node_process import NodeProcess, counts
from waiting import wait_for

from panoptic_ros.ros.conversions import message_type
from panoptic_ros.stream.stamps import nanoseconds

# TF is there where tf2_ros is, or a fake of it.
OTHERS = ("camera_info", "depth_camera_info", "points", "depth", "odom", "tf")
# Pictures that the painted model's network answers so.
NAN, ERROR = np.full((*SHAPE, 3), 255, np.uint8), np.zeros((*SHAPE, 3), np.uint8)
# Damage that mostly leaves no picture.
DAMAGED = {"image": "length", "compressed": "cut"}
PAUSE_SECONDS = 0.01
# A kind of message is logged once a second at most, and there are about as many kinds.
MOST_LINES_PER_SECOND, LONGEST_LINE = 12, 1000


class Campaign:
    """Run a node and a car that shows it damaged messages, each drawn from the seed."""

    def __init__(self, folder, *, transport, seed, **parameters):
        self.transport, self.seed = transport, seed
        self.sent = {}
        self._image = {"raw": "image", "compressed": "compressed"}[transport]
        self.kinds = [k for k in KINDS if k[0] in (self._image, *OTHERS)]
        own = {"image_transport": transport, "qos.reliability": "reliable", **parameters}
        self.node = NodeProcess(folder, **node_parameters(folder) | own)
        self.car = Car()
        self._publishers = {
            topic: self.car.node.create_publisher(message_type(TYPES[topic]), f"/{topic}", 10)
            for topic in OTHERS
        }
        self.car.wait_until_heard(message_type(TYPES[self._image]))
        self._start = time.monotonic()

    def close(self):
        self.car.close()
        self.node.kill()

    def send(self, kind, number):
        """Send one damaged message, and with one that is no image an image of the same time."""
        topic, name = kind
        stamp_ns = time.time_ns()
        message = ros_message(topic, damaged(topic, name, Draw(self.seed, number), stamp_ns))
        if topic in self._publishers:
            self._publishers[topic].publish(message)
            self._show(STREET)
        else:
            self.car.publish_message(message)
        self.sent[kind] = self.sent.get(kind, 0) + 1
        time.sleep(PAUSE_SECONDS)

    def check(self):
        """Fail unless the node answers a good frame and has counted and told all others."""
        self._answer(STREET)
        self.car.wait_for_health(lambda level, message, values: self._adds_up(values))
        _, _, values = self.car.health()
        assert self._adds_up(values), values
        if int(values["frames_refused"]):
            assert values["last_refusal"]
        lines = self.node.output().splitlines()
        assert max(map(len, lines), default=0) <= LONGEST_LINE
        seconds = time.monotonic() - self._start
        assert len(lines) <= 100 + MOST_LINES_PER_SECOND * seconds, lines[-20:]
        assert not [line for line in lines if "Traceback" in line], self.node.output()
        assert not [line for line in lines if "libpng" in line or "JPEG data" in line]
        return values

    def check_refusal(self):
        """Fail unless a damaged image is refused: one of many may be replaced before it is read."""

        def refused(level, message, values):
            self.send((self._image, DAMAGED[self._image]), self.sent_count())
            return int(values["refused_image"]) > 0

        self.car.wait_for_health(refused)

    def sent_count(self):
        return sum(self.sent.values())

    def check_networks(self):
        """Fail unless frames that a network answers with NaN or an error are refused."""
        shown = set()
        for picture, words in ((NAN, "not finite"), (ERROR, "Gather")):
            before = int(self.car.health()[2]["frames_refused"])

            def refused(level, message, values, picture=picture, before=before, words=words):
                shown.add(self._show(picture))
                told = words in values["last_refusal"] and level == DiagnosticStatus.ERROR
                return told and int(values["frames_refused"]) > before

            # An error lasts until a frame goes through.
            self.car.wait_for_health(refused)
        assert not [m for m in self.car.labels if nanoseconds(m.header.stamp) in shown]

    def _adds_up(self, values):
        found = counts(values)
        refused = sum(int(v) for k, v in values.items() if k.startswith("refused_"))
        settled = found["out"] + found["dropped"] + found["refused"] + found["waiting"]
        return found["in"] == settled and refused == found["refused"]

    def _answer(self, picture):
        """Show a picture until its labels come: after a stamp of the future time starts anew."""
        stamps = set()
        self.car.labels.clear()
        self.car.grids.clear()

        def answered():
            assert not self.node.has_ended(), self.node.output()[-4000:]
            stamps.add(self._show(picture))
            time.sleep(0.1)
            return [m for m in self.car.labels if nanoseconds(m.header.stamp) in stamps]

        wait_for(answered, "labels of a good frame")

    def _show(self, picture):
        """Publish a picture; return its stamp, nanoseconds."""
        stamp_ns = time.time_ns()
        if self.transport == "raw":
            message = hostile.image(stamp_ns)
            message.data = picture.tobytes()
        else:
            message = hostile.compressed(stamp_ns, "png")
            message.data = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
        self.car.publish_message(ros_message(self._image, message))
        return stamp_ns
