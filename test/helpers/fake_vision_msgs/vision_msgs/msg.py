"""vision_msgs 4 for where ROS 2 comes without it, as its wheels do.

Each message travels over DDS as the JSON of its fields, in a std_msgs/String.
"""

import json

import numpy as np
from std_msgs.msg import String

FIELDS = {
    "BoundingBox2D": ("center", "size_x", "size_y"),
    "BoundingBox3D": ("center", "size"),
    "Detection2D": ("header", "results", "bbox", "id"),
    "Detection2DArray": ("header", "detections"),
    "Detection3D": ("header", "results", "bbox", "id"),
    "Detection3DArray": ("header", "detections"),
    "LabelInfo": ("header", "class_map", "threshold"),
    "ObjectHypothesis": ("class_id", "score"),
    "ObjectHypothesisWithPose": ("hypothesis", "pose"),
    "Point2D": ("x", "y"),
    "Pose2D": ("position", "theta"),
    "VisionClass": ("class_id", "class_name"),
}


class _Message(String):
    def __init__(self, **fields):
        assert fields.keys() == set(self.fields), f"{type(self)} has {self.fields}, not {fields}"
        self.content = {name: _plain(value) for name, value in fields.items()}
        super().__init__(data=json.dumps(self.content))


def _plain(value):
    """Return a message's field as numbers, texts, lists and mappings."""
    if isinstance(value, _Message):
        return value.content
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    names = getattr(value, "get_fields_and_field_types", dict)()
    return {name: _plain(getattr(value, name)) for name in names} if names else value


# The conversion to C wants the name of the class that it was made for.
for _name, _fields in FIELDS.items():
    globals()[_name] = type(
        "String", (_Message,), {"fields": _fields, "__module__": String.__module__}
    )
