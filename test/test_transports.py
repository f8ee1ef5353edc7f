import pytest

from panoptic_ros.resources import share_dir
from panoptic_ros.transports import large_image_settings, profiles_variable

FILE = str(share_dir() / "config" / "fastdds.xml")


@pytest.fixture
def prefixes(tmp_path):
    """Return the AMENT_PREFIX_PATH of an overlay on a ROS 2 that has Fast DDS 2 or 3."""

    def made(name):
        (tmp_path / "ros" / "share" / name).mkdir(parents=True)
        return f"{tmp_path / 'overlay'}:{tmp_path / 'ros'}"

    return made


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("fastdds", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("fastrtps", "FASTRTPS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_the_variable_is_the_one_that_the_sourced_fast_dds_reads(prefixes, package, name):
    environment = {"AMENT_PREFIX_PATH": prefixes(package)}
    assert profiles_variable(environment) == name
    assert large_image_settings(environment) == {name: FILE}


@pytest.mark.parametrize("environment", [{}, {"AMENT_PREFIX_PATH": ""}])
def test_without_a_ros_2_it_is_the_newest_name(environment, tmp_path, monkeypatch):
    (tmp_path / "share" / "fastrtps").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert large_image_settings(environment) == {"FASTDDS_DEFAULT_PROFILES_FILE": FILE}


@pytest.mark.parametrize(
    "name",
    [
        "FASTDDS_BUILTIN_TRANSPORTS",
        "FASTDDS_DEFAULT_PROFILES_FILE",
        "FASTRTPS_DEFAULT_PROFILES_FILE",
    ],
)
def test_what_the_user_has_chosen_stays(name):
    assert large_image_settings({name: "mine"}) == {}
    assert large_image_settings({name: ""}) == {"FASTDDS_DEFAULT_PROFILES_FILE": FILE}
