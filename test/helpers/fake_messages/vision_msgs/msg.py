"""vision_msgs 4 for where ROS 2 comes without it, as its wheels do."""

from json_message import message_classes

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
globals().update(message_classes(FIELDS))
