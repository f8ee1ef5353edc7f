"""Play a bag in real time to the node and report quality and what real time cost."""

import os
import signal
from collections.abc import Callable

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.events import Shutdown, matches_action
from launch.events.process import ProcessIO, SignalProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from panoptic_ros.transports import large_image_settings

SHARE = FindPackageShare("panoptic_ros")
ARGUMENTS = {
    "bag": (None, "The rosbag2 to play: folder, .mcap or .db3."),
    "image": ("/camera/image/compressed", "The bag's camera topic."),
    "camera_info": ("/camera/camera_info", "Its calibration."),
    "odom": ("/odom", "The bag's odometry."),
    "truth": ("/ground_truth/labels/compressed", "The bag's true label images."),
    "weights": ("", "Model: NAME of config/models/NAME.yaml, or the path of such a file."),
    "device": ("", "auto, cpu, cuda or cuda:N."),
    "rate": ("1.0", "How much faster than recorded to play."),
    "report_file": ("live.json", "File to write the report to."),
    "idle_timeout": ("10.0", "Seconds without image or answer after which the end has come."),
}
FORWARDED = ("image", "camera_info", "odom", "weights", "device")
# From the start of ros2 bag play until its publishers are connected.
CONNECT_SECONDS = 5.0


def generate_launch_description() -> LaunchDescription:
    """Return node, evaluator and player; the player starts once the node is active."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            # For what else starts from here, too: cameras, players, RViz.
            *(SetEnvironmentVariable(*each) for each in large_image_settings(os.environ).items()),
            OpaqueFunction(function=_replay),
        ]
    )


def _replay(context: LaunchContext) -> list:
    image = LaunchConfiguration("image").perform(context)
    transport = "compressed" if image.endswith("/compressed") else "raw"
    player, evaluator = _player(), _evaluator()
    return [
        RegisterEventHandler(
            OnProcessIO(target_action=evaluator, on_stdout=_when_ready(player)),
        ),
        RegisterEventHandler(OnProcessExit(target_action=player, on_exit=_end(evaluator))),
        RegisterEventHandler(
            OnProcessExit(
                target_action=evaluator,
                on_exit=[EmitEvent(event=Shutdown(reason="the evaluator has reported"))],
            )
        ),
        evaluator,
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch/camera.launch.py"])),
            launch_arguments=[
                ("image_transport", transport),
                *((name, LaunchConfiguration(name)) for name in FORWARDED),
            ],
        ),
    ]


def _player() -> ExecuteProcess:
    return ExecuteProcess(
        cmd=[
            *("ros2", "bag", "play", LaunchConfiguration("bag")),
            *("--rate", LaunchConfiguration("rate"), "--delay", str(CONNECT_SECONDS)),
        ],
        output="screen",
    )


def _evaluator() -> Node:
    return Node(
        package="panoptic_ros",
        executable="replay_evaluator",
        name="replay_evaluator",
        parameters=[
            {
                "image_topic": LaunchConfiguration("image"),
                "truth_topic": LaunchConfiguration("truth"),
                "report_file": LaunchConfiguration("report_file"),
                "idle_timeout": LaunchConfiguration("idle_timeout"),
            }
        ],
        output="screen",
    )


def _when_ready(player: ExecuteProcess) -> Callable[[ProcessIO], list]:
    """Return a handler that starts the player once the evaluator has heard of the node."""
    started = []

    def on_stdout(event: ProcessIO) -> list:
        if started or b'"ready"' not in event.text:
            return []
        started.append(True)
        return [player]

    return on_stdout


def _end(evaluator: Node) -> list:
    """Ask the evaluator for its report where it does not see the end, having seen no image."""
    interrupt = SignalProcess(
        signal_number=signal.SIGINT, process_matcher=matches_action(evaluator)
    )
    return [
        TimerAction(
            period=LaunchConfiguration("idle_timeout"), actions=[EmitEvent(event=interrupt)]
        )
    ]
