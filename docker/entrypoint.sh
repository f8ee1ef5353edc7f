#!/bin/bash
# Runs a command with ROS 2 and this package on its paths.
set -e
source /opt/panoptic_ws/install/setup.bash
# Fast DDS's default transports lose images above about 1 MiB on best-effort topics.
export FASTDDS_BUILTIN_TRANSPORTS="${FASTDDS_BUILTIN_TRANSPORTS:-LARGE_DATA}"
exec "$@"
