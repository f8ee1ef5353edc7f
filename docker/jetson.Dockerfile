# ROS 2 Humble on NVIDIA's torch for a Jetson with JetPack 6 (L4T r36), the BASE of docker/Dockerfile:
#
#   docker build -f docker/jetson.Dockerfile -t panoptic_ros_base:r36.4.0 .
#   docker build -f docker/Dockerfile --build-arg BASE=panoptic_ros_base:r36.4.0 -t panoptic_ros:jetson .
#
# Its torch and torchvision stay: the venv sees them.
FROM dustynv/l4t-pytorch:r36.4.0
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV DEBIAN_FRONTEND=noninteractive ROS_DISTRO=humble
# The image names an index of its own, which has the versions of its making only.
ENV PIP_INDEX_URL="" PIP_EXTRA_INDEX_URL=""
ARG ROS_APT_SOURCE=1.1.0
ADD https://github.com/ros-infrastructure/ros-apt-source/releases/download/${ROS_APT_SOURCE}/ros2-apt-source_${ROS_APT_SOURCE}.jammy_all.deb /tmp/ros2-apt-source.deb
RUN dpkg -i /tmp/ros2-apt-source.deb \
    && rm /tmp/ros2-apt-source.deb \
    && apt-get update \
    && apt-get install -y --no-install-recommends \
        build-essential python3-colcon-common-extensions python3-rosdep ros-humble-ros-base \
    && rosdep init \
    && rm -rf /var/lib/apt/lists/*
