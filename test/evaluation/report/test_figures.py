import itertools
import re

import matplotlib
import pytest

from panoptic_ros.evaluation.report import figures

FIRST, SECOND, THIRD, *_, LAST = figures._COLORS


def points_of(path):
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path)]


def drawn(svg, style):
    """Return the points of each path whose style holds some words, in their order."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*style="([^"]*)"', svg)
    return [points_of(path) for path, found in paths if style in found]


def axes_box(svg, number=1):
    """Return left, right, bottom and top of an axes; y grows downwards."""
    frame = rf'id="axes_{number}">\s*<g id="patch_\d+">\s*<path d="([^"]*)"'
    points = points_of(re.search(frame, svg)[1])
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), max(xs), max(ys), min(ys)


def extent(points, axis):
    values = [p[axis] for p in points]
    return max(values) - min(values)


def test_charts_take_the_pages_ink_and_name_no_address():
    svg = figures.class_bars(["road", "a < $b$"], {"stack": [0.5, None]})
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert "a &lt; $b$" in svg
    assert "http" not in svg
    assert not re.search(r"<svg[^>]* (width|height)=", svg)


def test_a_bar_for_each_class_and_series():
    svg = figures.class_bars(["a", "b"], {"one": [0.5, 1.0], "two": [0.25, None]})
    assert all(f">{name}<" in svg for name in ("a", "b", "one", "two"))


def test_bars_are_as_long_as_their_values_and_lie_at_their_classes():
    svg = figures.class_bars(["a", "b"], {"one": [0.5, 1.0], "two": [0.25, None]})
    left, right, bottom, top = axes_box(svg)
    # The last rectangle of a colour is its key in the legend.
    *one, _ = drawn(svg, f"fill: {FIRST}")
    *two, _ = drawn(svg, f"fill: {SECOND}")
    lengths = [[extent(bar, 0) / (right - left) for bar in bars] for bars in (one, two)]
    assert lengths[0] == pytest.approx([0.5, 1.0], abs=1e-4)
    assert lengths[1] == pytest.approx([0.25, 0.0], abs=1e-4)
    for bars in (one, two):
        assert all(min(x for x, _ in bar) == pytest.approx(left) for bar in bars)
    # From the top: class a of both series, then class b, none on another.
    rows = [(min(y for _, y in bar), max(y for _, y in bar)) for bar in (one[0], two[0], one[1])]
    assert top < rows[0][0]
    assert rows[-1][1] < bottom
    assert all(above[1] <= below[0] + 1e-3 for above, below in itertools.pairwise(rows))


def test_the_histograms_bars_are_as_high_as_their_counts():
    svg = figures.latency_histogram({"stack": [1.0, 1.0, 1.0, 2.0, 5.0], "other": [1.0, 9.0]})
    *stack, _ = [extent(bar, 1) for bar in drawn(svg, f"fill: {FIRST}; opacity")]
    *other, _ = [extent(bar, 1) for bar in drawn(svg, f"fill: {SECOND}; opacity")]
    # Bins of 1.6 ms from 1 to 9.
    assert [h / max(stack) for h in stack] == pytest.approx([1, 0, 0.25, 0, 0])
    assert [h > 0 for h in other] == [True, False, False, False, True]
    assert other[0] == pytest.approx(other[-1])


def test_the_histograms_lines_stand_at_the_percentiles():
    svg = figures.latency_histogram({"stack": [float(i) for i in range(101)]})
    left = min(x for bar in drawn(svg, f"fill: {FIRST}; opacity")[:-1] for x, _ in bar)
    right = max(x for bar in drawn(svg, f"fill: {FIRST}; opacity")[:-1] for x, _ in bar)
    places = [(line[0][0] - left) / (right - left) for line in drawn(svg, f"stroke: {FIRST}")]
    assert places == pytest.approx([0.5, 0.95], abs=1e-3)


def test_a_confusion_is_shown_as_shares_of_the_truth():
    svg = figures.confusion([[3, 1, 0], [0, 0, 8]], ["road", "car"])
    colors = re.findall('class="cell" .*?fill="(#[0-9a-f]{6})"', svg)
    cividis = matplotlib.colormaps["cividis"]
    # What no pixel is in stays empty: it is told from a share that rounds to zero.
    assert colors == [matplotlib.colors.to_hex(cividis(share)) for share in (0.75, 0.25, 1.0)]
    assert "<title>road as car: 25.00 %, 1 pixels</title>" in svg


def test_a_timeline_draws_values_over_time():
    entries = [
        {"time": 0.0, "milliseconds": 5.0, "pq": 0.25, "instances": 2},
        {"time": 1.0, "milliseconds": 10.0, "pq": 1.0, "instances": 4},
        {"time": 4.0, "refused": "why"},
    ]
    svg = figures.timeline(entries)
    for panel, (color, share) in enumerate(((FIRST, 0.5), (SECOND, 0.25), (THIRD, 0.5)), 1):
        (line,) = drawn(svg, f"stroke: {color}")
        _, _, bottom, top = axes_box(svg, panel)
        first, second = (bottom - y for _, y in line)
        assert first / second == pytest.approx(share, abs=1e-3)
        assert second > (bottom - top) / 2
    (refused, *_) = drawn(svg, f"stroke: {LAST}")
    # Refused at 4 s: four times as far from the first frame as the second one.
    ratio = (refused[0][0] - line[0][0]) / (line[1][0] - line[0][0])
    assert ratio == pytest.approx(4, abs=1e-3)


def test_equal_charts_are_equal_text():
    times = {"stack": [1.0, 2.0, 4.0]}
    assert figures.latency_histogram(times) == figures.latency_histogram(times)


def test_the_histogram_names_its_percentiles():
    svg = figures.latency_histogram({"stack": [float(i) for i in range(101)]})
    assert "stack: p50 50.0, p95 95.0 ms" in svg


def test_a_histogram_of_one_frame():
    assert "p50 7.0" in figures.latency_histogram({"stack": [7.0]})


def test_classes_without_truth_stay_empty_in_the_confusion_matrix():
    svg = figures.confusion([[4, 0, 0], [0, 0, 0]], ["road", "<car>"])
    assert "unlabeled" in svg
    assert "&lt;car&gt;" in svg
    assert svg.count('class="cell"') == 1


def test_calibration_shows_scores_against_what_is_right():
    bins = [{"count": 0, "score": None, "right": None}, {"count": 3, "score": 0.75, "right": 0.5}]
    svg = figures.reliability({"pixels": {"ece": 0.25, "bins": bins}})
    assert "pixels: ECE 25.0 %" in svg


def test_a_timeline_shows_what_there_is():
    entries = [
        {"time": 0.0, "milliseconds": 5.0, "pq": None, "instances": 2},
        {"time": 0.1, "milliseconds": None, "pq": None, "instances": None, "refused": "why"},
        {"time": 0.2, "milliseconds": 6.0, "pq": None, "instances": 3},
    ]
    svg = figures.timeline(entries)
    assert ">ms<" in svg
    assert ">instances<" in svg
    assert "PQ %" not in svg
    assert "lines: refused" in svg


def test_a_timeline_of_refused_frames_only():
    svg = figures.timeline([{"time": 0.0, "milliseconds": None, "refused": "why"}])
    assert "lines: refused" in svg


def test_quality_over_time_has_a_mark_for_each_system_that_has_a_quality():
    svg = figures.quality_against_time(
        [("fast", 150.0, 0.45), ("none", 1.0, None), ("a", 600, 0.5)]
    )
    for text in ("fast", "a", "PQ %", "ms per frame, median"):
        assert f">{text}<" in svg
    assert ">none<" not in svg
    left, right, bottom, top = axes_box(svg)
    uses = re.findall(r'<use[^>]* x="(\S+)" y="(\S+)" style="fill: (#\w+)', svg)
    inside = {
        color: (float(x), float(y))
        for x, y, color in uses
        if left <= float(x) <= right and min(top, bottom) <= float(y) <= max(top, bottom)
    }
    (fast_x, fast_y), (other_x, other_y) = inside[FIRST], inside[SECOND]
    # Time begins at 0, and more quality is higher.
    assert (fast_x - left) / (other_x - left) == pytest.approx(150 / 600, abs=1e-3)
    assert fast_y > other_y
