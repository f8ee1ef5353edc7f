import pytest

from tools.ros_wheels import repair_exports


@pytest.fixture
def export(tmp_path):
    path = tmp_path / "std_msgs" / "cmake" / "exportExport.cmake"
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize("build", ["cp310-cp310", "cp311-cp311", "cp314-cp314t"])
def test_paths_of_the_build_machine_become_ours(export, tmp_path, build):
    version = f"python3.{build[3:5]}" + ("t" if build.endswith("t") else "")
    export.write_text(
        f'DIRECTORIES "/opt/python/{build}/include/{version};'
        f'/opt/python/{build}/lib/{version}/site-packages/numpy/_core/include"\n'
        'OTHER "/opt/python-tools/include"\n'
    )
    assert repair_exports(tmp_path, "/usr/include/py", r"/env/site\packages") == 1
    assert export.read_text() == (
        'DIRECTORIES "/usr/include/py;/env/site\\packages/numpy/_core/include"\n'
        'OTHER "/opt/python-tools/include"\n'
    )


def test_a_second_time_nothing_is_left_to_do(export, tmp_path):
    export.write_text("/opt/python/cp311-cp311/include/python3.11")
    assert repair_exports(tmp_path, "/include", "/site-packages") == 1
    assert repair_exports(tmp_path, "/include", "/site-packages") == 0
