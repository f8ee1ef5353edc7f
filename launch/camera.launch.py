"""Start the node on a camera's topics; with ``rviz:=true`` also a view of what it sees.

multi_camera.launch.py includes it for several cameras.
"""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from panoptic_ros.transports import large_image_settings

SHARE = FindPackageShare("panoptic_ros")
CAMERA_INPUTS = ("image", "camera_info", "depth", "depth_camera_info", "points")
# In a topic, the name of each of several cameras.
CAMERA = "{camera}"
CAMERA_RVIZ_TOPICS = ("color", "labels", "markers")
RVIZ_TOPICS = ("grid", "class_grid", "cost_grid")

# What people write for a boolean.
FLAGS = dict.fromkeys(("true", "yes", "on", "1"), True)
FLAGS |= dict.fromkeys(("false", "no", "off", "0"), False)

# Argument -> parameter and type. An argument that is not given leaves the parameter to the file.
PARAMETERS = {
    "weights": ("weights", str),
    "device": ("device", str),
    "image_transport": ("image_transport", str),
    "color": ("outputs.color", bool),
    "autostart": ("autostart", bool),
    "use_sim_time": ("use_sim_time", bool),
}
ARGUMENTS = {
    "image": ("image", "Topic of the camera's images (compressed: the compressed topic itself)."),
    "camera_info": ("camera_info", "Topic of the camera's calibration; the grid needs it."),
    "odom": ("odom", "Topic of the vehicle's odometry, for a grid that remembers and for tracks."),
    "depth": ("depth", "Topic of depth images, where there is one."),
    "depth_camera_info": (
        "depth_camera_info",
        "Topic of the depth images' calibration, where they are not in the camera's frame.",
    ),
    "points": ("points", "Topic of point clouds, where there is one."),
    "cameras": ("", "Names of several cameras, as in front,rear; {camera} in a topic is each."),
    "namespace": ("", "Namespace of the node; its outputs are NAMESPACE/panoptic/labels ..."),
    "weights": ("", "Model: NAME of config/models/NAME.yaml, or the path of such a file."),
    "device": ("", "auto, cpu, cuda or cuda:N."),
    "image_transport": ("", "raw or compressed."),
    "color": ("", "true: publish ~/color, the overlay for people; false: do not."),
    "autostart": ("", "false: wait for a lifecycle manager."),
    "use_sim_time": ("", "true: take the time from /clock, of a simulation or a bag."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "respawn": ("false", "true: start the node again 2 s after its end, whatever it was."),
    "tf": ("/tf", "Topic of TF; tf: the namespace's own, as Nav2's robots have it."),
    "tf_static": ("/tf_static", "Topic of static TF; tf_static: the namespace's own."),
    "rviz": ("false", "true: open RViz on the overlay, the labels, the tracks and the grid."),
}


def generate_launch_description() -> LaunchDescription:
    """Return the node, RViz where it is asked for, and what they need around them."""
    params_file = PathJoinSubstitution([SHARE, "config", "camera.yaml"])
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=params_file,
                description="Parameters file; the arguments above win over it.",
            ),
            # For what else starts from here, too: cameras, players, RViz.
            *(SetEnvironmentVariable(*each) for each in large_image_settings(os.environ).items()),
            # First: where RViz is missing, launch stops, and what it has started goes on.
            OpaqueFunction(function=_rviz),
            OpaqueFunction(function=_panoptic_node),
        ]
    )


def _panoptic_node(context: LaunchContext) -> list[Node]:
    names = _cameras(context)
    given: dict[str, object] = {
        parameter: _flag(context, argument)
        if kind is bool
        else ParameterValue(LaunchConfiguration(argument), value_type=kind)
        for argument, (parameter, kind) in PARAMETERS.items()
        if LaunchConfiguration(argument).perform(context)
    }
    if names != [""]:
        given["cameras"] = names
    # Looked at here: a group that includes this file twice has other values when the node ends.
    respawns = _flag(context, "respawn")
    return [
        Node(
            package="panoptic_ros",
            executable="panoptic_node",
            name="panoptic",
            namespace=LaunchConfiguration("namespace"),
            parameters=[_params_file(context), given],
            remappings=[
                ("odom", LaunchConfiguration("odom")),
                *(
                    (
                        f"{name}/{topic}" if name else topic,
                        LaunchConfiguration(topic).perform(context).replace(CAMERA, name),
                    )
                    for name in names
                    for topic in CAMERA_INPUTS
                ),
                *((f"/{topic}", LaunchConfiguration(topic)) for topic in ("tf", "tf_static")),
            ],
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            respawn=respawns,
            respawn_delay=2.0,
            on_exit=None if respawns else _on_exit,
            output="screen",
        )
    ]


def _cameras(context: LaunchContext) -> list[str]:
    """Return the cameras' names, an empty one for a single camera."""
    names = [name.strip() for name in LaunchConfiguration("cameras").perform(context).split(",")]
    for topic in CAMERA_INPUTS:
        if names == [""] and CAMERA in LaunchConfiguration(topic).perform(context):
            raise RuntimeError(f"{topic} has {CAMERA} in it: name the cameras, cameras:=front,rear")
    return names


def _params_file(context: LaunchContext) -> str:
    """Return the parameters file's path; launch itself would go on without one that is missing."""
    given = LaunchConfiguration("params_file").perform(context)
    path = Path(given).expanduser()
    if not path.is_file():
        raise RuntimeError(f"params_file:={given}: there is no such file; give its whole path")
    return str(path)


def _flag(context: LaunchContext, name: str) -> bool:
    text = LaunchConfiguration(name).perform(context)
    if text.strip().lower() not in FLAGS:
        raise RuntimeError(f"{name}:={text}: it must be true or false")
    return FLAGS[text.strip().lower()]


def _on_exit(event: ProcessExited, context: LaunchContext) -> None:
    """Let the launch fail with a node that could not start, or that ended by itself."""
    if event.returncode != 0 and not context.is_shutdown:
        raise RuntimeError(f"panoptic_node ended with exit code {event.returncode}")


def _rviz(context: LaunchContext) -> list[Node]:
    if not _flag(context, "rviz"):
        return []
    namespace = LaunchConfiguration("namespace").perform(context).strip("/")
    prefix = f"/{namespace}/panoptic" if namespace else "/panoptic"
    # Pictures and tracks of the first camera, the grid of all.
    first = "/".join(filter(None, (prefix, _cameras(context)[0])))
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", PathJoinSubstitution([SHARE, "config", "panoptic.rviz"])],
            remappings=[
                *((f"/panoptic/{topic}", f"{first}/{topic}") for topic in CAMERA_RVIZ_TOPICS),
                *((f"/panoptic/{topic}", f"{prefix}/{topic}") for topic in RVIZ_TOPICS),
                *((f"/{topic}", LaunchConfiguration(topic)) for topic in ("tf", "tf_static")),
            ],
        )
    ]
