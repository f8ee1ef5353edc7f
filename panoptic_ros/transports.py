"""Fast DDS's transports, with shared memory for large images (config/fastdds.xml)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from panoptic_ros.resources import share_dir

BUILTIN = "FASTDDS_BUILTIN_TRANSPORTS"
_PROFILES = "FASTDDS_DEFAULT_PROFILES_FILE"
# The name until Jazzy; later ones take it, and warn.
_FAST_DDS_2_PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"
CHOICES = (BUILTIN, _PROFILES, _FAST_DDS_2_PROFILES)


def large_image_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variable that gives Fast DDS config/fastdds.xml, as {name: file}.

    Nothing where the environment chooses Fast DDS's transports itself. Raise FileNotFoundError
    where the package's files are missing.
    """
    if any(environment.get(name) for name in CHOICES):
        return {}
    return {profiles_variable(environment): str(profiles_file())}


def profiles_file() -> Path:
    """Return config/fastdds.xml; raise FileNotFoundError where the package's files are missing."""
    return share_dir() / "config" / "fastdds.xml"


def profiles_variable(environment: Mapping[str, str]) -> str:
    """Return the name of the variable from which the sourced Fast DDS takes its profiles."""
    prefixes = environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    # Fast DDS 2 is a package of this name.
    is_old = any((Path(prefix) / "share" / "fastrtps").is_dir() for prefix in prefixes if prefix)
    return _FAST_DDS_2_PROFILES if is_old else _PROFILES
