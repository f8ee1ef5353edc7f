"""Start one node on the topics of several cameras: camera.launch.py with other defaults."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

CAMERA_LAUNCH = PathJoinSubstitution(
    [FindPackageShare("panoptic_ros"), "launch", "camera.launch.py"]
)
# {camera} stands for each camera's name.
ARGUMENTS = {
    "cameras": ("front,rear", "Names of the cameras, with commas between them."),
    "image": ("/{camera}/image_raw", "Topics of the images."),
    "camera_info": ("/{camera}/camera_info", "Topics of the calibrations; the grid needs them."),
    "depth": ("/{camera}/depth", "Topics of depth images, where there are some."),
    "depth_camera_info": (
        "/{camera}/depth/camera_info",
        "Topics of the depth images' calibrations, where they are not in the camera's frame.",
    ),
    "points": ("/{camera}/points", "Topics of point clouds, where there are some."),
}


def generate_launch_description() -> LaunchDescription:
    """Return what camera.launch.py does, for the cameras' topics."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(CAMERA_LAUNCH)),
        ]
    )
