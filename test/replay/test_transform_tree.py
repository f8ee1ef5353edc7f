from types import SimpleNamespace

import numpy as np
import pytest

from panoptic_ros.replay.transform_tree import TransformTree

STILL = (0.0, 0.0, 0.0, 1.0)
LEFT = (0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5))


def add(tree, parent, child, time, place, turn=STILL, log=0):
    place = SimpleNamespace(**dict(zip("xyz", place, strict=True)))
    turn = SimpleNamespace(**dict(zip("xyzw", turn, strict=True)))
    tree.add(parent, child, time, place, turn, log)


@pytest.fixture
def tree():
    """odom > base_link, which drives 2 m in 20 ns while it turns left > camera, lidar."""
    tree = TransformTree()
    add(tree, "odom", "base_link", 20, (2.0, 0.0, 0.0), LEFT)
    add(tree, "odom", "base_link", 0, (0.0, 0.0, 0.0))
    add(tree, "base_link", "camera", None, (1.0, 0.0, 0.5))
    add(tree, "base_link", "lidar", None, (0.0, 0.0, 2.0))
    return tree


@pytest.mark.parametrize(
    ("target", "source", "time", "place"),
    [
        ("base_link", "camera", 999, (1.0, 0.0, 0.5)),
        ("camera", "base_link", 999, (-1.0, 0.0, -0.5)),
        ("camera", "lidar", 999, (-1.0, 0.0, 1.5)),
        ("camera", "camera", 999, (0.0, 0.0, 0.0)),
        ("/odom", "/base_link", 20, (2.0, 0.0, 0.0)),
        ("odom", "camera", 0, (1.0, 0.0, 0.5)),
        ("odom", "camera", 20, (2.0, 1.0, 0.5)),
        ("odom", "base_link", 10, (1.0, 0.0, 0.0)),
        ("odom", "camera", 10, (1.0 + np.sqrt(0.5), np.sqrt(0.5), 0.5)),
    ],
)
def test_lookups_by_way_of_the_frame_above_both(tree, target, source, time, place):
    assert tree.lookup(target, source, time)[:3, 3] == pytest.approx(place)


def test_a_turn_goes_on_evenly_and_the_short_way(tree):
    add(tree, "odom", "base_link", 40, (2.0, 0.0, 0.0), tuple(-v for v in LEFT))
    for time, angle in ((5, 22.5), (10, 45), (15, 67.5), (30, 90)):
        matrix = tree.lookup("odom", "base_link", time)
        heading = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
        assert heading == pytest.approx(angle)


@pytest.mark.parametrize("time", [-1, 21])
def test_nothing_is_guessed_beyond_what_was_recorded(tree, time):
    with pytest.raises(LookupError, match=r"'base_link'.*outside of what was recorded"):
        tree.lookup("odom", "camera", time)


def test_frames_without_a_common_one_are_named(tree):
    with pytest.raises(LookupError, match="no transform from 'radar' to 'camera'"):
        tree.lookup("camera", "radar", 0)


def test_frames_in_a_circle_end():
    tree = TransformTree()
    add(tree, "a", "b", None, (1.0, 0.0, 0.0))
    add(tree, "b", "a", None, (1.0, 0.0, 0.0))
    with pytest.raises(LookupError):
        tree.lookup("c", "a", 0)
    # As tf2: on the way up from the source.
    assert tree.lookup("a", "b", 0)[0, 3] == 1.0


@pytest.mark.parametrize(
    ("parent", "child"), [("camera", "camera"), ("/camera", "camera"), ("", "camera"), ("a", "/")]
)
def test_frames_that_tf2_does_not_take_are_refused_and_harm_nothing(tree, parent, child):
    with pytest.raises(ValueError, match=f"pose of .* in {parent.strip('/')!r}: two frames must"):
        add(tree, parent, child, None, (9.0, 0.0, 0.0))
    assert tree.lookup("base_link", "camera", 0)[0, 3] == 1.0


def test_stamps_that_start_again_are_of_the_log_time():
    tree, second = TransformTree(), 10**9
    for run, log in enumerate((0, 100 * second)):
        for i in range(4):
            place = (10.0 * run + i, 0.0, 0.0)
            add(tree, "odom", "base_link", i * second, place, log=log + i * second)

    def x(time, log):
        return tree.lookup("odom", "base_link", time, log)[0, 3]

    assert [x(second // 2, log * second) for log in (0, 4, 100, 120)] == [0.5, 0.5, 10.5, 10.5]


@pytest.mark.parametrize(
    ("place", "turn"), [((np.nan, 0, 0), STILL), ((0, 0, 0), (0, 0, 0, 0)), ((0, 0, np.inf), STILL)]
)
def test_what_is_no_pose_is_refused(tree, place, turn):
    with pytest.raises(ValueError, match=r"finite|length"):
        add(tree, "base_link", "camera", None, place, turn)
