#!/bin/bash
# Runs a command with ROS 2 and this package on its paths.
set -e
source /opt/panoptic_ws/install/setup.bash
# The same as panoptic_ros/transports.py, for cameras and players that are started here.
if [ -z "$FASTDDS_BUILTIN_TRANSPORTS$FASTDDS_DEFAULT_PROFILES_FILE$FASTRTPS_DEFAULT_PROFILES_FILE" ]; then
    profiles=/opt/panoptic_ws/install/panoptic_ros/share/panoptic_ros/config/fastdds.xml
    case "$ROS_DISTRO" in
        humble | jazzy) export FASTRTPS_DEFAULT_PROFILES_FILE="$profiles" ;;
        *) export FASTDDS_DEFAULT_PROFILES_FILE="$profiles" ;;
    esac
fi
exec "$@"
