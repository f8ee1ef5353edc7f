"""What every test of a launch file describes: the file, in a domain of this test run's own."""

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare
from launch_testing.actions import ReadyToTest
from own_domain import take_domain

# So that nobody else's nodes answer; kept until this process ends.
DOMAIN, _lock = take_domain()


def launched(file, arguments, *before):
    """Return the description of a launch file with its arguments; before: actions."""
    path = PathJoinSubstitution([FindPackageShare("panoptic_ros"), "launch", file])
    return LaunchDescription(
        [
            SetEnvironmentVariable("ROS_DOMAIN_ID", str(DOMAIN)),
            SetEnvironmentVariable("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"),
            *before,
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(path), launch_arguments=arguments.items()
            ),
            ReadyToTest(),
        ]
    )
