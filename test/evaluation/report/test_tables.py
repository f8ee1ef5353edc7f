import numpy as np
import pytest
from report_example import CAR, ROAD, example_results

from panoptic_ros.evaluation.report import tables
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.track_accuracy import TrackScore
from panoptic_ros.scores.video_quality import VideoQuality


def _row(table, first):
    return next(row for row in table.rows if row[0] == first)


def test_table_1_has_the_published_column_beside_each_strategy():
    table = tables.instance_table(example_results())
    assert table.header == (
        "class",
        "instances",
        "stack IoU %",
        "heuristic, published",
        "conv_head IoU %",
        "head, published",
    )
    assert _row(table, "person") == ("person", "3", "71.1", "71.1", "80.0", "75.7")
    assert _row(table, "bicycle") == ("bicycle", "0", "-", "66.4", "-", "2.19")
    assert _row(table, "mean of classes") == ("mean of classes", "3", "71.1", "-", "80.0", "-")


def test_table_1_says_where_the_report_has_no_figure():
    table = tables.instance_table(example_results())
    assert _row(table, "train") == ("train", "0", "-", "-", "-", "-")
    assert "Inria RT-0506, Table 1" in table.note
    assert "not at hand" in table.note


def test_table_1_has_no_published_column_beside_a_strategy_of_ours():
    results = example_results()
    results["fusion"] = {"new": results["fusion"]["stack"]}
    assert tables.instance_table(results).header == ("class", "instances", "new IoU %")


def test_table_2_lists_strategies_and_networks():
    table = tables.comparison_table(example_results())
    assert _row(table, "stack") == (
        *("stack", "70.0", "80.0", "87.5", "70.0", "70.0", "60.0", "10.0", "20.0", "9.0"),
    )
    assert _row(table, "semantic network alone")[6:] == ("50.0", "-", "-", "-")
    assert _row(table, "instance network alone")[6:] == ("-", "12.5", "25.0", "11.0")
    assert len(table.rows) == 4  # none of what is not known


def test_table_2_leaves_out_what_no_class_was_seen_of():
    results = example_results()
    nothing = {"pq": 0.0, "sq": 0.0, "rq": 0.0, "n": 0}
    results["fusion"]["stack"]["panoptic"]["stuff"] = nothing
    assert _row(tables.comparison_table(results), "stack")[4:6] == ("70.0", "-")
    results["fusion"]["stack"]["panoptic"]["all"] = nothing
    assert _row(tables.comparison_table(results), "stack")[1:6] == ("-",) * 5


def test_table_3_has_stages_totals_and_memory():
    table = tables.time_table(example_results())
    times = ("11.5", "11.0", "13.0", "10.0", "13.2")
    assert _row(table, "semantic") == ("semantic", *times)
    assert _row(table, "end to end, conv_head") == ("end to end, conv_head", *times)
    assert "4 frames after 2 of warm-up on cpu. Peak memory: host 512 MiB." in table.note
    assert "device" not in table.note


@pytest.mark.parametrize(
    "make",
    [
        tables.instance_table,
        tables.comparison_table,
        tables.time_table,
        tables.identity_table,
        tables.video_table,
    ],
)
@pytest.mark.parametrize("results", [{}, {"fusion": None, "timing": {}}])
def test_no_table_without_figures(make, results):
    assert make(results) is None


def test_further_metrics_are_the_columns_that_have_a_figure():
    results = example_results()
    results["fusion"]["stack"] |= {"pq_dagger": {"all": 0.75}, "boundary": None}
    results["detector"]["ar"] = 0.5
    table = tables.further_table(results)
    assert table.header == ("method", "PQ\u2020", "AR")
    assert table.rows == (("stack", "75.0", "-"), ("instance network alone", "-", "50.0"))


def test_tracks_have_a_row_for_all_things_and_one_per_class():
    """A car, seen perfectly twice, changes its track's id: half of each association holds."""
    score = TrackScore(CITYSCAPES)
    score.start_sequence()
    truth = np.full((4, 6), ROAD)
    truth[:2, :2] = CAR * 1000 + 1
    for track in (5, 6):
        score.add(truth, truth, {CAR * 1000 + 1: track})
    table = tables.identity_table({"tracks": score.results()})
    assert table.header[1:4] == ("HOTA", "DetA", "AssA")
    figures = ("70.7", "100.0", "50.0", "100.0", "50.0", "50.0", "100.0", "50.0", "1", "1")
    assert table.rows == (("all things", *figures), ("car", *figures))


def test_a_video_has_its_qualities_by_window():
    score = VideoQuality(CITYSCAPES)
    frame = np.full((4, 6), ROAD)
    score.start_sequence("drive")
    for _ in range(3):
        score.add(frame, frame)
    table = tables.video_table({"video": score.results()})
    assert table.header[:2] == ("method", "VPQ")
    assert table.header[-3:] == ("STQ", "AQ", "mIoU")
    assert _row(table, "tracks")[1] == "100.0"
    # There is no thing to associate.
    assert _row(table, "tracks")[-3:] == ("-", "-", "100.0")


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.123, "0.12"), (9.96, "10.0"), (1234.5, "1234")]
)
def test_times_have_the_digits_that_mean_something(value, text):
    assert tables.milliseconds(value) == text


def test_a_class_that_occurs_nowhere_has_no_quality():
    results = example_results()
    table = tables.class_table(results["fusion"]["stack"], results["classes"])
    assert _row(table, "road") == ("road", "90.0", "90.0", "100.0", "95.0", "4", "0", "0")
    assert _row(table, "sky") == ("sky", "-", "-", "-", "-", "0", "0", "0")


def test_cells_of_a_callers_table():
    content = {"caption": "c", "header": ["a", "b"], "rows": [["x", 0.12345], [3, None]]}
    assert tables.section_table(content).rows == (("x", "0.123"), ("3", "-"))


def test_the_console_shows_the_three_tables_in_order(capsys):
    tables.print_tables(example_results())
    text = capsys.readouterr().out
    places = [text.index(f"Table {i}.") for i in (1, 2, 3)]
    assert places == sorted(places)
    assert "published" in text
