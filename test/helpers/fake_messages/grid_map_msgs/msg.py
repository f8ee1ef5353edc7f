"""grid_map_msgs for where ROS 2 comes without it, as its wheels do."""

from json_message import message_classes

FIELDS = {
    "GridMap": (
        "header",
        "info",
        "layers",
        "basic_layers",
        "data",
        "outer_start_index",
        "inner_start_index",
    ),
    "GridMapInfo": ("resolution", "length_x", "length_y", "pose"),
}
globals().update(message_classes(FIELDS))
