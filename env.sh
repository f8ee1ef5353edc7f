# Puts panoptic_ros on every path of the current shell (bash or zsh):
#   source env.sh
# Python's environment, ROS 2 (the wheels of `make setup`, or the installation that it was built
# on), this package's messages and `panoptic_node`.

_panoptic_env() {
    local root="$1" shell="$2" options="$-" ros transports
    if [ ! -f "$root/.venv/.ros" ] || [ ! -f "$root/install/local_setup.$shell" ]; then
        echo "panoptic_ros is not set up yet. Run: make -C '$root' setup" >&2
        return 1
    fi
    read -r ros < "$root/.venv/.ros"
    if [ "$ros" != "${ROS_DISTRO:-$ros}" ]; then
        echo "panoptic_ros was set up on ROS 2 '$ros', but '$ROS_DISTRO' is sourced." \
            "Run: make -C '$root' setup" >&2
        return 1
    fi
    # Scripts that others generate read variables that are not set.
    set +u
    if [ "${ros%%-*}" = wheels ]; then
        . "$root/.venv/bin/activate"
        # The wheels make the environment itself a ROS 2 prefix.
        export AMENT_PREFIX_PATH="$VIRTUAL_ENV" CMAKE_PREFIX_PATH="$VIRTUAL_ENV"
        . "$root/install/local_setup.$shell"
    else
        # setup.* also sources the ROS 2 installation that the build was made on.
        . "$root/install/setup.$shell"
        . "$root/.venv/bin/activate"
    fi
    export PATH="$root/install/panoptic_ros/lib/panoptic_ros:$PATH"
    # The same as panoptic_ros/transports.py.
    if [ -z "${FASTDDS_BUILTIN_TRANSPORTS:-}${FASTDDS_DEFAULT_PROFILES_FILE:-}${FASTRTPS_DEFAULT_PROFILES_FILE:-}" ]; then
        transports="$root/install/panoptic_ros/share/panoptic_ros/config/fastdds.xml"
        case "$ros" in
            *humble | *jazzy) export FASTRTPS_DEFAULT_PROFILES_FILE="$transports" ;;
            *) export FASTDDS_DEFAULT_PROFILES_FILE="$transports" ;;
        esac
    fi
    case "$options" in *u*) set -u ;; esac
}

if [ -n "${ZSH_VERSION:-}" ]; then
    _panoptic_env "$(cd "$(dirname "${(%):-%x}")" && pwd -P)" zsh
elif [ -n "${BASH_VERSION:-}" ]; then
    _panoptic_env "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)" bash
else
    echo "env.sh is for bash and zsh." >&2
    false
fi
