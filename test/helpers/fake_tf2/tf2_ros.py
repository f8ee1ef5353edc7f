"""What the package uses of tf2_ros, for where ROS 2 comes without it, as its wheels do.

Lookups, errors and what is forgotten are as in tf2. tf2_msgs is missing too, so /tf and
/tf_static carry geometry_msgs/TransformStamped here.
"""

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile

from panoptic_ros.geometry.poses import quaternion, rigid_transform, rotation_matrix

LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class TransformException(Exception):  # noqa: N818 - tf2's name
    pass


class LookupException(TransformException):
    pass


class ConnectivityException(TransformException):
    pass


class ExtrapolationException(TransformException):
    pass


class InvalidArgumentException(TransformException):
    pass


class Buffer:
    """Know the transforms of the frames to their parents."""

    def __init__(self):
        # Frame -> its parent; frame -> times and poses in the parent, None for static ones.
        self._parents = {}
        self._moving = {}
        self._static = {}

    def set_transform(self, transform, authority="test"):
        matrix, stamp = _matrix(transform.transform), transform.header.stamp
        if matrix is None:
            return
        self._parents[transform.child_frame_id] = transform.header.frame_id
        known = self._moving.setdefault(transform.child_frame_id, {})
        known[stamp.sec * 10**9 + stamp.nanosec] = matrix

    def set_transform_static(self, transform, authority="test"):
        matrix = _matrix(transform.transform)
        if matrix is not None:
            self._parents[transform.child_frame_id] = transform.header.frame_id
            self._static[transform.child_frame_id] = matrix

    def clear(self):
        """Forget times, as tf2 does: which frames there are, and the static ones, stay."""
        for known in self._moving.values():
            known.clear()

    def lookup_transform(self, target, source, time):
        known = {*self._parents, *self._parents.values()}
        for name, frame in (("target_frame", target), ("source_frame", source)):
            if frame.startswith("/"):
                raise InvalidArgumentException(f"\"{frame}\": frame_ids cannot start with a '/'")
            if frame not in known:
                raise LookupException(
                    f'"{frame}" passed to lookupTransform argument {name} does not exist. '
                )
        above = self._above(target)
        common = next((frame for frame in self._above(source) if frame in above), None)
        if common is None:
            raise ConnectivityException(f"'{target}' and '{source}' are not part of the same tree")
        from_target, from_source = (
            self._from(frame, common, time.nanoseconds) for frame in (target, source)
        )
        return _message(np.linalg.inv(from_target) @ from_source)

    def _above(self, frame):
        """Return a frame, its parent and so on."""
        frames = [frame]
        while frames[-1] in self._parents:
            frames.append(self._parents[frames[-1]])
            if len(frames) > len(self._parents) + 1:
                raise LookupException("The tf tree is invalid because it contains a loop.")
        return frames

    def _from(self, frame, above, time):
        matrix = np.eye(4)
        while frame != above:
            matrix = self._pose(frame, time) @ matrix
            frame = self._parents[frame]
        return matrix

    def _pose(self, frame, time):
        if frame in self._static:
            return self._static[frame]
        known = self._moving[frame]
        before = max((t for t in known if t <= time), default=None)
        after = min((t for t in known if t >= time), default=None)
        if known and time == 0:
            before = after = max(known)
        if before is None or after is None:
            way = "future" if before is not None else "past"
            raise ExtrapolationException(
                f"Lookup would require extrapolation into the {way}.  Requested time {time} but "
                f"the data of {frame!r} is at {sorted(known)[:: max(1, len(known) - 1)]}"
            )
        share = (time - before) / (after - before) if after > before else 0.0
        a, b = known[before], known[after]
        place = a[:3, 3] + share * (b[:3, 3] - a[:3, 3])
        turns = [np.array(quaternion(m[:3, :3])) for m in (a, b)]
        turn = turns[0] + share * (turns[1] * (np.sign(turns[0] @ turns[1]) or 1) - turns[0])
        return rigid_transform(place, rotation_matrix(turn / np.linalg.norm(turn)))


class TransformListener:
    def __init__(self, buffer, node, *, spin_thread=True):
        self._node = node
        self._subscriptions = [
            node.create_subscription(TransformStamped, "/tf", buffer.set_transform, 100),
            node.create_subscription(
                TransformStamped, "/tf_static", buffer.set_transform_static, LATCHED
            ),
        ]

    def unregister(self):
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)


class TransformBroadcaster:
    def __init__(self, node):
        self._publisher = node.create_publisher(TransformStamped, "/tf", 100)

    def sendTransform(self, transform):  # noqa: N802 - tf2's name
        self._publisher.publish(transform)


class StaticTransformBroadcaster(TransformBroadcaster):
    def __init__(self, node):
        self._publisher = node.create_publisher(TransformStamped, "/tf_static", LATCHED)


def _matrix(transform):
    """Return a pose; None for one that tf2 ignores, with a line in the log."""
    at, turn = transform.translation, transform.rotation
    try:
        matrix = rigid_transform(
            (at.x, at.y, at.z), rotation_matrix((turn.x, turn.y, turn.z, turn.w))
        )
    except ValueError:
        return None
    return matrix if np.isfinite(matrix).all() else None


def _message(matrix):
    message = TransformStamped()
    at, turn = message.transform.translation, message.transform.rotation
    at.x, at.y, at.z = matrix[:3, 3].tolist()
    turn.x, turn.y, turn.z, turn.w = quaternion(matrix[:3, :3])
    return message
