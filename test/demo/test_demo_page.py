import pytest

from panoptic_ros.demo.demo_page import render, table
from panoptic_ros.demo.record import Record, SeenFrame

SUMMARY = {
    "input": "<drive> & more.mp4",
    "frames_published": 9,
    "frames_lost": 1,
    "frames_in": 8,
    "frames_out": 5,
    "frames_dropped": 2,
    "frames_refused": 1,
    "frames_received": 5,
    "grids": 4,
    "latency_ms": {
        "front": {"inference": {"p50": 41.26, "p95": 50.0}},
        "rear": {"inference": {"p50": 31.5, "p95": 40.0}},
    },
    "segments_per_class": {"car": 1234},
    "weights": "town",
    "fusion": "conv_head",
    "device": "cpu",
    "image_size": "1024x512",
    "duration_s": 61.4,
}


@pytest.fixture
def record():
    classes = [{"id": 26, "name": "car", "color": [0, 0, 142]}]
    classes += [{"id": 7, "name": "road", "color": [128, 64, 128]}]
    instances = [("car", 0.9), ("person", 0.8), ("car", 0.7)]
    frames = [
        SeenFrame("rear", "0000.png", 0.9, 31.0, {26: 1}, instances[:1]),
        SeenFrame("front", "0000.png", 1.0, 43.0, {26: 2}, instances),
        SeenFrame("rear", "0001.png", 1.1, 32.0, {26: 1}, instances[:1]),
    ]
    return Record(classes=classes, frames=frames, pictures=["0000.png"])


def test_page_shows_pictures_film_and_figures(record):
    page = render(SUMMARY, record, "pictures", "demo.mp4")
    assert 'src="pictures/0000.png"' in page
    assert 'src="demo.mp4"' in page
    assert "1 rear 31 ms, 1 car; front 43 ms, 2 car, 1 person<" in page
    assert "0001.png" not in page, "a picture that there is not"
    assert "&lt;drive&gt; &amp; more.mp4" in page
    for cell in ("<td>9</td>", "<td>41.3</td>", "<td>31.5</td>", "<td>1234</td>", "rgb(0, 0, 142)"):
        assert cell in page
    assert "rgb(128, 64, 128)" not in page


def test_page_needs_no_network(record):
    page = render(SUMMARY, record, "pictures", "demo.mp4")
    assert "http" not in page
    assert "<script" not in page
    assert "<link" not in page


def test_page_without_film_says_so(record):
    page = render(SUMMARY, record, "pictures", None)
    assert "<video" not in page
    assert "cannot write a film" in page


@pytest.mark.parametrize(("weights", "is_warned"), [("town", False), ("random", True)])
def test_page_warns_of_untrained_networks(record, weights, is_warned):
    page = render({**SUMMARY, "weights": weights}, record, "pictures", None)
    assert ("not trained" in page) == is_warned


def test_table():
    lines = table(SUMMARY).splitlines()
    assert lines[0].startswith("<drive> & more.mp4 (1024x512), weights town, fusion conv_head")
    figures = [line.split() for line in lines[1:]]
    for row in (
        ["frames", "dropped", "2"],
        ["front,", "ms", "p50", "p95"],
        ["inference", "41.3", "50.0"],
        ["inference", "31.5", "40.0"],
        ["car", "1234"],
    ):
        assert row in figures
