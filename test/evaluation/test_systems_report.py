import numpy as np
import pytest

from panoptic_ros.evaluation.report.published import PUBLISHED
from panoptic_ros.evaluation.systems import ShownFrame
from panoptic_ros.evaluation.systems_report import system_tables, write_page
from panoptic_ros.labels import CITYSCAPES


def entry(pq, **changes):
    part = {"pq": pq, "sq": 0.8, "rq": 0.6, "n": 19}
    return {
        "weights": "w",
        "fusion": "stack",
        "engine": "eager",
        "panoptic": {"all": part, "things": part | {"pq": 0.4}, "stuff": part | {"pq": 0.6}},
        "miou": 0.66,
        "ap": 0.25,
        "ap_cityscapes": 0.24,
        "parameters": 12_340_000,
        "gflops": 56.78,
        "milliseconds": {"p50": 100.0, "p95": 120.0},
        **changes,
    }


@pytest.fixture
def results():
    return {
        "version": 1,
        "label_set": "cityscapes",
        "dataset": {"name": "town", "root": "data/town", "split": "val", "frames": 200},
        "machine": {"device": "cpu", "torch": "2", "threads": 2},
        "timed_frames": 20,
        "systems": {
            "town": entry(0.466, parameters=None, gflops=None),
            "upsnet": entry(0.5),
            "degeus": entry(None),
        },
        "skipped": {"aunet": "no weights systems/aunet"},
    }


def test_figures_stand_beside_the_published_ones(results):
    quality, cost, published = system_tables(results)
    assert [row[0] for row in quality.rows] == ["town", "upsnet", "degeus"]
    assert quality.rows[0][1:] == (
        *("46.6", "80.0", "60.0", "40.0", "60.0", "66.0", "25.0", "24.0", "-"),
    )
    assert [row[-1] for row in quality.rows] == ["-", "59.3", "45.9"]
    assert quality.rows[2][1] == "-"
    assert cost.rows[0][1:] == ("-", "-", "eager", "100.0", "120.0", "-")
    assert cost.rows[2][1:] == ("12.3", "56.8", "eager", "100.0", "120.0", "590")
    assert "20 frames" in cost.note
    # Of the systems that ran, with their sources.
    assert [row[0] for row in published.rows] == ["upsnet", "degeus"]
    assert published.rows[0][1:] == (
        *("ResNet-50", "59.3", "79.7", "73.0", "54.6", "62.7", "-", "-", "-"),
        "README of github.com/uber-research/UPSNet",
    )
    assert {len(row) for row in published.rows} == {len(published.header)}


def test_every_published_row_names_its_source():
    assert all(row.source and row.pq for row in PUBLISHED.values())


def test_the_page_shows_tables_plot_and_the_same_frames_side_by_side(results, tmp_path):
    labels = np.full((8, 16), 7, np.uint16)
    frame = ShownFrame(
        "frame_1",
        np.zeros((8, 16, 3), np.uint8),
        labels,
        {"town": labels, "upsnet": np.full((8, 16), 26000, np.uint16)},
    )
    write_page(results, [frame], CITYSCAPES, tmp_path / "systems.html")
    page = (tmp_path / "systems.html").read_text()
    for text in ("Systems on town", "Table 2.", "Table 3.", "Published, Cityscapes val"):
        assert text in page
    assert "Quality against time" in page
    for name in ("camera", "truth", "town", "upsnet"):
        assert f'alt="{name}, frame_1"' in page
    assert "Left out: aunet: no weights systems/aunet." in page
