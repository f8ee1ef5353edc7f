"""A car that drives before the node: pictures, calibration and odometry of one stamp."""

import math
import time

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseWithCovariance, Quaternion
from nav_msgs.msg import OccupancyGrid, Odometry
from node_process import LATCHED, Client, wait_for
from painted_model import paint, write_model
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

SHAPE, FOCAL, HEIGHT = (128, 256), 128.0, 1.5
CENTER = ((SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2)
# The last row of what stands on the road 10 m ahead.
LAST_ROW = 82
DISTANCE = FOCAL * HEIGHT / (LAST_ROW + 0.5 - CENTER[1])
ROWS = slice(40, LAST_ROW + 1)
WALL, CAR = slice(150, 171), slice(95, 116)
ROAD = paint(SHAPE, "road", ("sky", slice(0, 64), slice(None)))
STREET = paint(SHAPE, "road", ("sky", slice(0, 64), slice(None)), ("wall", ROWS, WALL))
CAMERA = {"source": "parameters", "x": 0.0, "z": HEIGHT, "pitch": 0.0}
RESOLUTION, X_MIN, Y_MIN = 0.25, 2.0, -8.0
WINDOW = {
    "x_min": X_MIN,
    "y_min": Y_MIN,
    "length": 20.0,
    "width": 14.0,
    "resolution": RESOLUTION,
}
UNKNOWN = -1


def lateral(column):
    """Return y on the ground of a column's left edge, at the obstacles' distance."""
    return -(column - 0.5 - CENTER[0]) * DISTANCE / FOCAL


class Car(Client):
    """Publish pictures with calibration and odometry of the same stamp."""

    def __init__(self, **options):
        super().__init__(reliable=True, **options)
        publish = self.node.create_publisher
        self._info = publish(CameraInfo, "camera_info", 5)
        self._odometry = None
        self.info = calibration()
        self.grids = self.subscribe("~/grid", OccupancyGrid, LATCHED)
        self.labels = self.subscribe("~/labels", Image)

    def wait_until_heard(self, kind=Image):
        """Wait until the node subscribes to all that is published."""
        super().wait_until_heard(kind)
        for publisher in filter(None, (self._info, self._odometry)):
            wait_for(
                lambda publisher=publisher: publisher.get_subscription_count() == 1,
                f"a listener of {publisher.topic_name}",
            )

    def drive(self, picture, x=0.0, yaw=0.0, stamp=None, frame="odom"):
        """Publish a frame from a place in odom; return its stamp."""
        stamp = time.time() if stamp is None else stamp
        self._publisher_of_odometry().publish(odometry(stamp, x, yaw, frame))
        return self.show(picture, stamp)

    def show(self, picture, stamp=None):
        """Publish a frame without odometry; return its stamp."""
        stamp = time.time() if stamp is None else stamp
        if self.info is not None:
            self.info.header = header(stamp)
            self._info.publish(self.info)
        return self.publish(picture, stamp)

    def grid(self, picture, **place):
        return self.answered(self.grids, lambda: self.drive(picture, **place))

    def _publisher_of_odometry(self):
        if self._odometry is None:
            self._odometry = self.node.create_publisher(Odometry, "odom", 5)
            wait_for(lambda: self._odometry.get_subscription_count() == 1, "odometry's listener")
        return self._odometry


def header(stamp, frame_id="camera_optical"):
    nanoseconds = round(stamp * 1e9)
    return Header(
        stamp=Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9), frame_id=frame_id
    )


def calibration(focal=FOCAL, shape=SHAPE):
    height, width = shape
    k = [focal, 0.0, CENTER[0], 0.0, focal, CENTER[1], 0.0, 0.0, 1.0]
    return CameraInfo(height=height, width=width, distortion_model="plumb_bob", d=[0.0] * 5, k=k)


def odometry(stamp, x, yaw, frame="odom"):
    turn = Quaternion(z=math.sin(yaw / 2), w=math.cos(yaw / 2))
    pose = Pose(position=Point(x=float(x)), orientation=turn)
    return Odometry(
        header=header(stamp, frame),
        child_frame_id="base_link",
        pose=PoseWithCovariance(pose=pose),
    )


def cells(message):
    return np.array(message.data, np.int8).reshape(message.info.height, message.info.width)


def cell(x, y):
    """Return the index of the cell that a point of base_link lies in."""
    return int((y - Y_MIN) / RESOLUTION), int((x - X_MIN) / RESOLUTION)


def node_parameters(folder):
    """Return the node's parameters for this car; the model is written to the folder."""
    model = write_model(folder, SHAPE, (CAR.start, 70, CAR.stop, LAST_ROW + 1))
    return {
        "weights": model,
        "device": "cpu",
        **{f"ground.camera.{k}": v for k, v in CAMERA.items()},
        **{f"ground.window.{k}": v for k, v in WINDOW.items()},
        "ground.timeout": 2.0,
        "score_threshold": 1.0,
    }
