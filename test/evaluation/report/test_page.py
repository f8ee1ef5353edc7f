"""The report as a file, and as headless Chromium shows it."""

import json
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest
from report_example import example_frame, example_results

from panoptic_ros.evaluation.report import write_report
from panoptic_ros.evaluation.report.page import render

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
    # The first screen's; Tables 1 to 3, groups and classes of each strategy, the section's.
    assert found["rows"] == [3, 10, 5, 5, 4, 20, 4, 20, 2]
    assert found["overflow"] <= 0
