"""The report as a file, and as headless Chromium shows it."""

import json
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest
from report_example import CAR, example_frame, example_results

from panoptic_ros.evaluation.report import frame_views
from panoptic_ros.evaluation.report.page import render, write_report
from panoptic_ros.evaluation.report.pictures import PictureFolder
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.track_accuracy import TrackScore

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# Without these Chromium looks for its maker's hosts when it starts.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]
PROBE = """<script>onload = () => { document.body.textContent = JSON.stringify({
    pictures: [...document.images].map(i => i.naturalWidth),
    charts: [...document.querySelectorAll("svg")].map(s => s.getBoundingClientRect().width),
    rows: [...document.querySelectorAll("table")].map(t => t.rows.length),
    overflow: document.documentElement.scrollWidth - innerWidth}); }</script></body>"""


def _everything(tmp_path):
    results = example_results()
    results["dataset"]["broken"] = ["a&b.png: cannot be read"]
    results["timeline"] = [
        {"time": i / 10, "milliseconds": 9.0 + i, "pq": 0.5, "instances": i} for i in range(5)
    ]
    results["tracks"] = _tracks_of_one_car().results()
    cv2.imwrite(str(tmp_path / "bird.png"), np.zeros((20, 30, 3), np.uint8))
    results["sections"] = [
        {
            "title": "Grid",
            "text": "what <b>the grid</b> got",
            "tables": [{"caption": "Free space", "header": ["", "IoU"], "rows": [["a", 0.9]]}],
            "pictures": [{"caption": "from above", "image": tmp_path / "bird.png"}],
        }
    ]
    return results, [example_frame("best"), example_frame("worst")]


def _tracks_of_one_car():
    score = TrackScore(CITYSCAPES)
    score.start_sequence()
    truth = np.full((4, 6), CAR * 1000 + 1)
    score.add(truth, truth, {CAR * 1000 + 1: 5})
    return score


def test_the_file_needs_nothing_else(tmp_path):
    path = tmp_path / "new" / "report.html"
    write_report(*_everything(tmp_path), path)
    page = path.read_text()
    assert "http:" not in page
    assert "https:" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "default-src 'none'" in page


def test_text_from_outside_stays_text(tmp_path):
    page = render(*_everything(tmp_path))
    assert "what &lt;b&gt;the grid&lt;/b&gt; got" in page
    assert "frame &lt;1&gt;" in page
    assert "a&amp;b.png: cannot be read" in page


def test_only_what_there_is_has_a_place():
    page = render({"title": "Grid", "sections": [{"title": "Drives"}]}, [])
    assert "<h1>Grid</h1>" in page
    assert "<h2>Drives</h2>" in page
    assert page.count("<h2>") == 1


def test_an_evaluation_without_pictures_or_times():
    results = example_results()
    del results["timing"], results["frames"], results["detector"]
    page = render(results, [])
    assert "Table 3" not in page
    assert "Latency" not in page
    assert "Best and worst frames" not in page
    assert "Panoptic quality per class" in page


def test_a_replay_without_truth_has_no_charts_of_quality():
    results = example_results()
    for fusion in results["fusion"].values():
        fusion["panoptic"]["all"] = {"pq": 0.0, "sq": 0.0, "rq": 0.0, "n": 0}
    page = render(results, [])
    assert "Panoptic quality per class" not in page
    assert "Confusion of classes" not in page
    assert "Latency" in page


def _chromium(tmp_path, path, *options):
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [CHROMIUM, *FLAGS, profile, *options, "--dump-dom", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)")
def test_chromium_opens_it_without_a_word(tmp_path):
    path = tmp_path / "report.html"
    write_report(*_everything(tmp_path), path)
    run = _chromium(tmp_path, path)
    assert "Table 1. Mean mask IoU" in run.stdout
    assert [line for line in run.stderr.splitlines() if "CONSOLE" in line] == []


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)")
@pytest.mark.parametrize("width", [500, 1280])
def test_chromium_shows_tables_charts_and_pictures(tmp_path, width):
    page = render(*_everything(tmp_path))
    # The page itself has no script and forbids any.
    page = re.sub("<meta http-equiv=[^>]*>", "", page).replace("</body>", PROBE)
    path = tmp_path / "probed.html"
    path.write_text(page)
    run = _chromium(tmp_path, path, f"--window-size={width},900")
    found = json.loads(re.search(r"<body[^>]*>(\{.*?\})", run.stdout)[1])
    # Two frames of four pictures and one of the section.
    assert found["pictures"] == [6] * 8 + [30]
    # Bars, latency and timeline; a confusion matrix for each strategy.
    assert len(found["charts"]) == 5
    assert min(found["charts"]) > 300
    # The first screen's; Tables 1 and 2, tracks, Table 3; groups and classes; the section's.
    assert found["rows"] == [3, 10, 5, 3, 5, 4, 20, 4, 20, 2]
    assert found["overflow"] <= 0


SORTS = """<script>onload = () => {
    const names = () => [...document.querySelectorAll("#frames tbody tr")]
        .filter(row => !row.hidden).map(row => row.cells[0].textContent);
    const buttons = document.querySelectorAll("#frames button"), found = [];
    for (const column of [1, 1, 0]) { buttons[column].click(); found.push(names().join()); }
    const filter = document.getElementById("filter");
    filter.value = "F1"; filter.dispatchEvent(new Event("input")); found.push(names().join());
    document.body.textContent = JSON.stringify({found,
        pictures: [...document.images].map(i => i.naturalWidth)}); }</script></body>"""


def _with_pictures(tmp_path, count):
    """Return results whose frames have pictures beside the page, and counts of their classes."""
    results = example_results()
    folder = PictureFolder(tmp_path, CITYSCAPES)
    example = example_frame()
    paths = folder.write("f", example.image, example.truth, {"stack": example.prediction})
    quality = [0.5, None, 0.25, 0.75]
    results["frames"] = [
        {
            "name": f"f{i}",
            "total": {"stack": 10.0 + i, "conv_head": 12.0},
            "pq": {"stack": quality[i % 4], "conv_head": 0.5},
            "classes": {"stack": {"24": [0.9, 1, 2, i, 4, 9]}},
            "pictures": paths,
        }
        for i in range(count)
    ]
    return results


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)")
def test_chromium_sorts_and_filters_the_frames_and_shows_their_pictures(tmp_path):
    path = tmp_path / "report.html"
    page = render(_with_pictures(tmp_path, 4), [])
    # The probe is no script of the page, whose policy stays as it is for pictures.
    page = re.sub("script-src '[^']*'", "script-src 'unsafe-inline'", page)
    path.write_text(page.replace("</body>", SORTS))
    run = _chromium(tmp_path, path)
    found = json.loads(re.search(r"<body[^>]*>(\{.*?\})", run.stdout)[1])
    # Once falling, once rising, frames without a quality last; then by name, falling.
    assert found["found"] == ["f3,f0,f2,f1", "f2,f0,f3,f1", "f3,f2,f1,f0", "f1"]
    # The first screen's; those of the gallery are loaded when they are scrolled to.
    assert found["pictures"][0] == 6


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)")
def test_chromium_lets_the_pages_own_script_run(tmp_path):
    path = tmp_path / "report.html"
    write_report(_with_pictures(tmp_path, 4), [], path)
    run = _chromium(tmp_path, path)
    assert [line for line in run.stderr.splitlines() if "CONSOLE" in line] == []


def test_the_page_of_500_frames_is_small(tmp_path):
    page = render(_with_pictures(tmp_path, 500), [])
    assert len(page) < 2_000_000
    assert len(re.findall(r'<tr><th scope="row">f\d+<', page)) == 500


def test_the_largest_errors_of_each_kind_are_shown(tmp_path):
    results = _with_pictures(tmp_path, 8)
    for i, frame in enumerate(results["frames"]):
        crop = {"kind": "missed", "class_id": 24, "area": i, "picture": f"pictures/{i} #.jpg"}
        frame["segments"] = [crop, {**crop, "kind": "split"}] if i == 3 else [crop]
    missed, split = frame_views.worst_segments(results)
    assert [e["about"] for e in missed[1]] == [f"person, {i} pixels" for i in (7, 6, 5, 4, 3, 2)]
    assert split == (
        "split",
        [{"frame": "f3", "about": "person, 3 pixels", "address": "pictures/3%20%23.jpg"}],
    )
    page = render(results, [])
    assert '<a href="#segments">' in page
    assert 'src="pictures/7%20%23.jpg"' in page


def test_the_worst_frames_of_a_class_have_most_errors(tmp_path):
    (found,) = frame_views.worst_by_class(_with_pictures(tmp_path, 4))
    assert found[0] == "person"
    assert [(f["name"], f["about"]) for f in found[1]] == [
        ("f3", "3 missed, 2 false"),
        ("f2", "2 missed, 2 false"),
        ("f1", "1 missed, 2 false"),
    ]


@pytest.mark.parametrize("key", ["fusion", "pq", "classes", "pictures", "total"])
def test_a_key_that_is_missing_leaves_out_what_it_shows(key, tmp_path):
    results = _with_pictures(tmp_path, 2)
    for holder in (results, *results["frames"]):
        if key != "classes" or holder is not results:
            holder.pop(key, None)
    assert "<h1>" in render(results, [])
