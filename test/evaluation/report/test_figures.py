import re

from panoptic_ros.evaluation.report import figures


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


def test_equal_charts_are_equal_text():
    times = {"stack": [1.0, 2.0, 4.0]}
    assert figures.latency_histogram(times) == figures.latency_histogram(times)


def test_the_histogram_names_its_percentiles():
    svg = figures.latency_histogram({"stack": [float(i) for i in range(101)]})
    assert "stack: p50 50.0, p95 95.0 ms" in svg


def test_a_histogram_of_one_frame():
    assert "p50 7.0" in figures.latency_histogram({"stack": [7.0]})


def test_classes_without_truth_stay_empty_in_the_confusion_matrix():
    svg = figures.confusion([[4, 0, 0], [0, 0, 0]], ["road", "car"])
    assert "unlabeled" in svg
    # cividis: its last colour is 100 %, of road taken for road; its first is 0 %.
    assert svg.count("#fee838") >= 1


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
