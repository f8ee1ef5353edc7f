import numpy as np
import pytest
from street_world import network, write_frame

from panoptic_ros.datasets.town import Town
from panoptic_ros.evaluation.grid_report import ground_section, ground_table, write_report
from panoptic_ros.evaluation.grid_run import GroundDrive, compare_ground
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import PanopticPrediction

WINDOW = GridWindow()


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Six frames towards a car; the network sees the road only in every third."""
    root = tmp_path_factory.mktemp("drive")
    for index in range(6):
        write_frame(root, "drives", 1, index)
    town = Town(root, "drives")
    calls = []

    def poor_network(picture):
        calls.append(picture)
        labels = network(picture)
        if len(calls) % 3:
            labels[labels == 7] = 0
        return PanopticPrediction(labels)

    drives = [GroundDrive.of(town, list(town), WINDOW)]
    return compare_ground(drives, CITYSCAPES, poor_network, WINDOW)


def test_a_flat_street_is_seen_as_it_is(comparison):
    scores = comparison.results["true_labels"]
    assert scores["free_iou"] > 0.9
    assert scores["behind_free_rate"] < 0.01
    assert scores["contact_error_m"] < 0.25
    assert scores["contacts"] == 6


def test_poor_labels_score_worse_and_fusion_makes_up_for_it(comparison):
    true, poor = comparison.results["true_labels"], comparison.results["predicted"]
    assert poor["free_iou"] < true["free_iou"]
    assert poor["fused_iou"] > poor["single_iou"]
    assert comparison.results["fused_iou"] == poor["fused_iou"]
    assert comparison.results["single_iou"] == poor["single_iou"]


def test_every_condition_has_a_row(comparison):
    rows = comparison.results["robustness"]
    assert list(rows) == [
        "as recorded",
        "every second frame missing",
        "odometry with 2 % drift",
        "pitch off by 1 degree",
    ]
    assert rows["as recorded"]["true_labels"] == comparison.results["true_labels"]
    assert rows["every second frame missing"]["true_labels"]["contacts"] == 3
    off = rows["pitch off by 1 degree"]["true_labels"]
    assert off["contact_error_m"] > comparison.results["true_labels"]["contact_error_m"]


def test_the_table_names_the_scores_and_the_pictures_are_written(comparison, tmp_path):
    text = ground_table(comparison.results)
    assert comparison.results["predicted"]["frame_ms"] > 0
    assert comparison.results["predicted"]["moving_f1"] is None
    for word in (
        "moving precision %",
        "velocity m/s",
        "held still %",
        "ms/frame",
        "free IoU %",
        "contact m",
        "behind free %",
        "predicted, as recorded",
        "6 frames",
    ):
        assert word in text
    section = ground_section(comparison.results, comparison.ends, CITYSCAPES, WINDOW)
    (picture,) = section["pictures"]
    # Truth, and for either kind of labels one frame and the fused grid, in 400 columns each.
    assert picture["image"].shape[1] == 5 * 400 + 4 * 6
    # Below the camera's picture and a title: truth, its car in its colour, 12 m ahead.
    truth = picture["image"][-600:, :400]
    car = np.argwhere((truth == CITYSCAPES[26].color).all(axis=-1))
    ahead = 60 - car[:, 0] / 10
    assert ahead.max() <= 12 - 2.5 + 4 + 0.2
    assert ahead.min() >= 12 - 2.5 - 0.2
    write_report(tmp_path / "new", section, "poor")
    page = (tmp_path / "new" / "grid.html").read_text()
    assert "predicted, pitch off by 1 degree" in page
    assert "data:image" in page
