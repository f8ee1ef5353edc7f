"""Messages as nobody should send them: many kinds of damage to each of the node's inputs.

Messages are namespaces with the fields of ROS 2's; `ros_message` makes one of rclpy's of them.
"""

import functools
import io
import struct
import zlib
from types import SimpleNamespace

import numpy as np
from PIL import Image as Picture

from panoptic_ros.messages import KNOWN_ENCODINGS

SHAPE = HEIGHT, WIDTH = 128, 256
FLOAT32, FLOAT64 = 7, 8
NUMBERS = [0.0, -0.0, 1.0, -1.0, 1e-320, 1e9, 1e38, -1e300, np.inf, -np.inf, np.nan]
UNSIGNED = [0, 1, 2, 3, 5, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1]
TEXTS = [
    *("", " ", "/", "base_link", "/base_link", "odom", "map", "camera_optical", "nowhere"),
    *("x" * 100_000, "\n\n\n", "☃" * 300, "%s%n{}", "rgb8; ", "none"),
]
TYPES = {
    "image": "sensor_msgs/msg/Image",
    "compressed": "sensor_msgs/msg/CompressedImage",
    "camera_info": "sensor_msgs/msg/CameraInfo",
    "depth_camera_info": "sensor_msgs/msg/CameraInfo",
    "points": "sensor_msgs/msg/PointCloud2",
    "depth": "sensor_msgs/msg/Image",
    "odom": "nav_msgs/msg/Odometry",
    "tf": "geometry_msgs/msg/TransformStamped",
}


class Draw:
    """Draw what hurts."""

    def __init__(self, *seed):
        self.random = np.random.default_rng(seed)

    def one(self, choices):
        return choices[self.random.integers(len(choices))]

    def below(self, limit):
        return int(self.random.integers(limit))

    def unsigned(self):
        return self.one([*UNSIGNED, self.below(1000), self.below(2**32)])

    def signed(self):
        return self.one([0, 1, -1, -(2**31), 2**31 - 1, self.below(2**32) - 2**31])

    def number(self):
        return float(self.one([*NUMBERS, self.random.normal() * 10.0 ** self.below(20)]))

    def text(self):
        return self.one(TEXTS)

    def bytes(self, count):
        return self.random.bytes(count)

    def some(self, values, new):
        """Return a list with one to all of its values replaced."""
        values = list(values)
        for _ in range(1 + self.below(len(values))):
            values[self.below(len(values))] = new()
        return values

    def length(self, data):
        """Return data cut, grown, emptied, or as it is."""
        grown = data + self.bytes(1 + self.below(50))
        return self.one([data[: self.below(len(data))], grown, b"", data[:-1], data])

    def spoilt(self, data):
        data = bytearray(data)
        for _ in range(1 + self.below(4)):
            data[self.below(len(data))] = self.below(256)
        return bytes(data)


# ---- messages as they should be


def header(stamp_ns, frame_id="camera_optical"):
    stamp = SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return SimpleNamespace(stamp=stamp, frame_id=frame_id)


def image(stamp_ns):
    return SimpleNamespace(
        header=header(stamp_ns),
        height=HEIGHT,
        width=WIDTH,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * WIDTH,
        data=_pixels().tobytes(),
    )


def compressed(stamp_ns, kind="jpeg"):
    return SimpleNamespace(header=header(stamp_ns), format=kind, data=_file(kind))


def camera_info(stamp_ns):
    return SimpleNamespace(
        header=header(stamp_ns),
        height=HEIGHT,
        width=WIDTH,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[128.0, 0.0, 127.5, 0.0, 128.0, 63.5, 0.0, 0.0, 1.0],
        binning_x=0,
        binning_y=0,
        roi=SimpleNamespace(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    )


def points(stamp_ns):
    ahead = np.random.default_rng(0).uniform((2, -8, 0), (20, 8, 2), (60, 3)).astype("<f4")
    fields = [
        SimpleNamespace(name=name, offset=4 * i, datatype=FLOAT32, count=1)
        for i, name in enumerate("xyz")
    ]
    return SimpleNamespace(
        header=header(stamp_ns, "base_link"),
        height=6,
        width=10,
        fields=fields,
        is_bigendian=False,
        point_step=12,
        row_step=120,
        data=ahead.tobytes(),
        is_dense=True,
    )


def depth(stamp_ns):
    metres = np.full(SHAPE, 8.0, "<f4").tobytes()
    message = image(stamp_ns)
    return SimpleNamespace(
        **vars(message) | {"encoding": "32FC1", "step": 4 * WIDTH, "data": metres}
    )


def odom(stamp_ns):
    return SimpleNamespace(
        header=header(stamp_ns, "odom"),
        child_frame_id="base_link",
        pose=SimpleNamespace(pose=SimpleNamespace(position=_vector(), orientation=_turn())),
    )


def tf(stamp_ns):
    return SimpleNamespace(
        header=header(stamp_ns, "base_link"),
        child_frame_id="camera_optical",
        transform=SimpleNamespace(translation=_vector(), rotation=_turn()),
    )


def _vector():
    return SimpleNamespace(x=0.0, y=0.0, z=0.0)


def _turn():
    return SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)


@functools.cache
def _pixels():
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)


@functools.cache
def _file(kind, size=None):
    picture = Picture.fromarray(_pixels()) if size is None else Picture.new("L", size)
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


# ---- damage


def _stamp(message, draw):
    message.header.stamp.sec, message.header.stamp.nanosec = draw.signed(), draw.unsigned()


def _frame(message, draw):
    message.header.frame_id = draw.text()


def _any(*names):
    """Return damage that gives some of the fields any unsigned number."""

    def spoil(message, draw):
        for name in draw.some(names, lambda: draw.one(names)):
            setattr(message, name, draw.unsigned())

    return spoil


def _length(message, draw):
    message.data = draw.length(message.data)


def _rubbish(message, draw):
    message.data = draw.bytes(len(message.data))


def _encoding(message, draw):
    message.encoding = draw.one([*KNOWN_ENCODINGS, "32FC1", "16UC1", "8UC3", draw.text()])
    message.is_bigendian = draw.below(256)


def _small(message, draw):
    """Any encoding with a size and step that may just fit."""
    _encoding(message, draw)
    message.width, message.height = draw.below(9), draw.below(9)
    message.step = draw.below(5) * message.width + draw.below(2)
    message.data = draw.bytes(message.step * message.height * draw.one([2, 3]) // 2)


def _bits(message, draw):
    message.format = draw.one(["jpeg", "png"])
    message.data = draw.spoilt(_file(message.format))


def _cut(message, draw):
    data = _file(draw.one(["jpeg", "png"]))
    end = draw.one([b"", b"\xff\xd9", b"IEND\xaeB`\x82"])
    message.data = data[: draw.below(len(data))] + end


def _claim(message, draw):
    """A file that says it is of another size."""
    width, height = (draw.one([0, 1, 257, 8192, 60000, 65535]) for _ in range(2))
    if draw.below(2):
        data = _file("jpeg")
        start = data.index(b"\xff\xc0") + 5
        message.data = data[:start] + struct.pack(">HH", height, width) + data[start + 4 :]
        return
    data = _file("png")
    head = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    message.data = data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]


def _large(message, draw):
    """A small file that really has many pixels."""
    message.data = _file(
        "png", draw.one([(8192, 8192), (4096, 4096), (8192, 4), (4, 8192), (1, 1)])
    )


def _splice(message, draw):
    parts = [_file("jpeg"), _file("png"), draw.bytes(100)]
    message.data = b"".join(
        part[draw.below(len(part)) // draw.one([1, 1000]) :] for part in parts[: 1 + draw.below(3)]
    )


def _metadata(message, draw):
    body = draw.one([b"Exif\0\0II*\0", b"ICC_PROFILE\0\1\1", b"MPF\0"]) + draw.bytes(40)
    segment = bytes([0xFF, draw.one([0xE1, 0xE2, 0xFE])]) + struct.pack(">H", len(body) + 2) + body
    data = _file("jpeg")
    message.data = data[:2] + segment + data[2:]


def _format(message, draw):
    message.format = draw.one([draw.text(), "bayer_rggb8; jpeg", "16UC1; compressedDepth"])


def _k(message, draw):
    message.k = draw.some(message.k, draw.number)


def _d(message, draw):
    message.d = [draw.one([0.0, draw.number()]) for _ in range(draw.below(16))]


def _model(message, draw):
    names = ["plumb_bob", "rational_polynomial", "equidistant", "fisheye", "none", draw.text()]
    message.distortion_model = draw.one(names)
    message.d = [draw.random.normal() for _ in range(draw.one([0, 4, 5, 8, 12, 14]))]


def _roi(message, draw):
    _any("x_offset", "y_offset", "width", "height")(message.roi, draw)


def _offset(message, draw):
    draw.one(message.fields).offset = draw.unsigned()
    message.point_step = draw.one([message.point_step, draw.unsigned()])


def _datatype(message, draw):
    for field in message.fields:
        field.datatype = draw.one([FLOAT32, FLOAT64, draw.below(256)])
    message.is_bigendian = bool(draw.below(2))


def _names(message, draw):
    for field in message.fields:
        field.name = draw.one(["x", "y", "z", draw.text()])
    message.fields = message.fields[: draw.below(4)]


def _cloud(message, draw):
    """Sizes that may just fit."""
    message.height, message.width, message.point_step = (draw.below(7) for _ in range(3))
    message.row_step = message.width * message.point_step + draw.below(3)
    message.data = draw.bytes(message.height * message.row_step)
    for field in message.fields:
        field.offset = draw.below(8)


def _values(message, draw):
    """Float32 numbers, of a cloud or a depth image."""
    values = np.frombuffer(message.data, "<f4").copy()
    places = draw.random.integers(0, len(values), 1 + draw.below(len(values)))
    with np.errstate(over="ignore"):
        values[places] = draw.number()
    message.data = values.tobytes()


def _position(message, draw):
    place = message.transform.translation if hasattr(message, "transform") else message.pose.pose
    place = getattr(place, "position", place)
    place.x, place.y, place.z = draw.some((place.x, place.y, place.z), draw.number)


def _quaternion(message, draw):
    if hasattr(message, "transform"):
        turn = message.transform.rotation
    else:
        turn = message.pose.pose.orientation
    turn.x, turn.y, turn.z, turn.w = draw.some((turn.x, turn.y, turn.z, turn.w), draw.number)


def _child(message, draw):
    message.child_frame_id = draw.text()


_ALL = {"stamp": _stamp, "frame": _frame}
_RAW = {
    "size": _any("width", "height"),
    "step": _any("step"),
    "encoding": _encoding,
    "length": _length,
    "small": _small,
}
_PLACED = {"position": _position, "quaternion": _quaternion, "child": _child}
_CALIBRATION = {
    "size": _any("width", "height"),
    "binning": _any("binning_x", "binning_y"),
    "roi": _roi,
    "k": _k,
    "d": _d,
    "model": _model,
}
_FILE = {
    "bits": _bits,
    "cut": _cut,
    "claim": _claim,
    "large": _large,
    "splice": _splice,
    "metadata": _metadata,
    "format": _format,
    "rubbish": _rubbish,
}
_CLOUD = {
    "size": _any("width", "height"),
    "steps": _any("point_step", "row_step"),
    "offset": _offset,
    "datatype": _datatype,
    "names": _names,
    "cloud": _cloud,
    "length": _length,
    "rubbish": _rubbish,
    "values": _values,
}
_DAMAGE = {
    "image": (image, _RAW | {"rubbish": _rubbish}),
    "compressed": (compressed, _FILE),
    "camera_info": (camera_info, _CALIBRATION),
    "depth_camera_info": (camera_info, _CALIBRATION),
    "points": (points, _CLOUD),
    "depth": (depth, _RAW | {"rubbish": _rubbish, "values": _values}),
    "odom": (odom, _PLACED),
    "tf": (tf, _PLACED),
}
KINDS = [(topic, name) for topic, (_, damage) in _DAMAGE.items() for name in (*damage, *_ALL)]


def damaged(topic, name, draw, stamp_ns=10**18):
    """Return a message of a topic with one kind of damage, otherwise of a stamp and right."""
    make, damage = _DAMAGE[topic]
    message = make(stamp_ns)
    (damage | _ALL)[name](message, draw)
    return message


def ros_message(topic, message):
    """Return one of rclpy's messages with the fields of a namespace."""
    from panoptic_ros.ros.conversions import message_type

    return _filled(message_type(TYPES[topic])(), message)


def _filled(target, source):
    import array

    from sensor_msgs.msg import PointField

    for name, value in vars(source).items():
        if isinstance(value, SimpleNamespace):
            _filled(getattr(target, name), value)
        elif isinstance(value, bytes):
            setattr(target, name, array.array("B", value))
        elif name == "fields":
            target.fields = [_filled(PointField(), field) for field in value]
        else:
            setattr(target, name, value)
    return target
