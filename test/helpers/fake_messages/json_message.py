"""Messages of packages that ROS 2's wheels lack: each travels as the JSON of its fields.

To DDS it is a std_msgs/String.
"""

import array
import json

import numpy as np
from std_msgs.msg import String


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
    if isinstance(value, np.ndarray | array.array):
        return value.tolist()
    names = getattr(value, "get_fields_and_field_types", dict)()
    return {name: _plain(getattr(value, name)) for name in names} if names else value


def message_classes(fields):
    """Return a class of messages for each name of fields {name: the names of its fields}."""
    # The conversion to C wants the name of the class that it was made for.
    return {
        name: type("String", (_Message,), {"fields": of, "__module__": String.__module__})
        for name, of in fields.items()
    }
