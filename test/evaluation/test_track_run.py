import numpy as np
import pytest

from panoptic_ros.evaluation.town_drive import bag_drive
from panoptic_ros.evaluation.track_pictures import contact_sheet, draw_tracks, path_map, timeline
from panoptic_ros.evaluation.track_report import track_section, track_table, write_report
from panoptic_ros.evaluation.track_run import (
    as_prediction,
    compare_tracks,
    track_drive,
    true_predictions,
)
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import PanopticPrediction
from panoptic_ros.resources import share_dir

TRUTH = np.array(
    [
        [7, 7, 26005, 26005],
        [7, 26009, 26005, 24],
        [4, 26009, 24007, 24],
    ],
    np.uint16,
)


@pytest.fixture(scope="module")
def drive():
    return bag_drive(share_dir() / "sample" / "town_drive", limit=8)


@pytest.fixture(scope="module")
def tracked(drive):
    return track_drive(drive, true_predictions(drive, CITYSCAPES), CITYSCAPES)


@pytest.fixture(scope="module")
def comparison(drive):
    def blind(image):
        return PanopticPrediction(np.full(image.shape[:2], 7, np.uint16), [])

    return compare_tracks([drive, drive], CITYSCAPES, blind)


def test_true_labels_of_a_drive_keep_their_identities(comparison):
    results = comparison.results
    assert results["true_labels"]["hota"] >= 80
    assert results["true_labels"]["deta"] == pytest.approx(100)
    assert results["frames"] == 16
    assert results["drives"] == ["town_drive"] * 2


def test_a_blind_network_has_no_tracks(comparison):
    predicted = comparison.results["predicted"]
    assert predicted["hota"] == predicted["idf1"] == predicted["switches"] == 0
    assert predicted["objects"] == comparison.results["true_labels"]["objects"]


def test_quality_falls_gently_with_worse_data(comparison):
    rows = comparison.results["robustness"]
    best = rows["as recorded"]["true_labels"]
    assert best == comparison.results["true_labels"]
    for name in (
        "every second frame missing",
        "odometry with 2 % drift",
        "pitch off by 1 degree",
        "no odometry",
    ):
        assert best["hota"] - 15 <= rows[name]["true_labels"]["hota"] <= best["hota"] + 5
    missing = rows["every second frame missing"]["true_labels"]
    assert missing["sightings"] == pytest.approx(best["sightings"] / 2, rel=0.1)


def test_a_drive_is_scored_as_a_video_too(comparison):
    true, blind = (comparison.results["video"][kind] for kind in ("true_labels", "predicted"))
    assert true["vpq"]["windows"][1]["all"]["pq"] == pytest.approx(1)
    assert 0.8 < true["vpq"]["vpq"] < 1
    assert true["stq"]["iou"] == pytest.approx(1)
    assert blind["stq"]["aq"] == 0
    assert {name: s["frames"] for name, s in true["stq"]["sequences"].items()} == {
        "0/drive": 8,
        "1/drive": 8,
    }


def test_the_table_has_a_row_per_condition(comparison):
    tracks, *_ = track_table(comparison.results).split("\n\n")
    lines = tracks.splitlines()
    assert len(lines) == 1 + 2 * 5 + 1
    score = comparison.results["true_labels"]
    assert lines[1].startswith("true labels, as recorded")
    assert lines[1].split()[-5:] == [
        *(f"{score[key]:.1f}" for key in ("hota", "deta", "assa", "idf1")),
        str(score["switches"]),
    ]


def test_objects_on_the_road_are_placed_and_parked_ones_rest(tracked):
    tracks = [t for t in tracked[-1].tracks if t.position is not None and not t.coasting]
    assert len(tracks) >= 8
    pose = tracked[-1].frame.pose
    ahead = pose.inverse().apply(np.array([t.position for t in tracks]))
    assert (ahead[:, 0] > 0).all()
    assert max(np.hypot(*t.velocity) for t in tracks) < 30


def test_the_timeline_has_a_row_per_object_and_a_column_per_frame(tracked):
    picture = timeline(tracked, CITYSCAPES)
    truths = [np.unique(t.frame.truth) for t in tracked]
    things = {int(v) for truth in truths for v in truth if v >= 1000}
    assert picture.shape == (6 * len(things), 8 * len(tracked), 3)


def test_tracks_are_drawn_on_a_copy(tracked):
    image = tracked[-1].frame.image()
    before = image.copy()
    picture = draw_tracks(image, tracked[-1].tracks, CITYSCAPES)
    np.testing.assert_array_equal(image, before)
    assert (picture != image).any()


def test_the_contact_sheet_shows_eight_frames(tracked):
    assert contact_sheet(tracked, CITYSCAPES).shape == (4 * 384, 2 * 768, 3)


def test_the_map_shows_the_ego_cars_way(tracked):
    picture = path_map(tracked, CITYSCAPES)
    # 6 pixels a metre: the car drives some metres in 0.8 s.
    assert 20 < (picture == 0).all(axis=2).sum() < 1000


def test_the_section_has_table_and_pictures(tracked, comparison):
    section = track_section(comparison.results, {"true_labels": tracked}, CITYSCAPES)
    table, *_ = section["tables"]
    assert len(table["rows"]) == 2 * 5
    assert {len(row) for row in table["rows"]} == {len(table["header"])}
    assert [p["image"].dtype for p in section["pictures"]] == [np.uint8] * 3


def test_the_report_is_a_page(tracked, comparison, tmp_path):
    folder = tmp_path / "new"
    write_report(folder, comparison.results, {"true_labels": tracked}, CITYSCAPES, "blind")
    page = (folder / "tracks.html").read_text()
    assert "true labels, as recorded" in page
    assert "blind" in page


def test_segments_are_those_of_the_truth_with_new_numbers():
    prediction = as_prediction(TRUTH, CITYSCAPES, np.random.default_rng(0))
    assert prediction.labels.dtype == np.uint16
    assert set(np.unique(prediction.labels)) == {0, 7, 24, 24000, 26000, 26001}
    by_box = {s.box: s for s in prediction.segments}
    assert set(by_box) == {(0, 0, 2, 2), (2, 0, 4, 2), (1, 1, 2, 3), (3, 1, 4, 3), (2, 2, 3, 3)}
    car = by_box[2, 0, 4, 2]
    assert (car.class_id, car.is_thing, car.score, car.area) == (26, True, 1.0, 3)
    assert (prediction.labels == car.id).tolist() == (TRUTH == 26005).tolist()
    assert not by_box[0, 0, 2, 2].is_thing


def test_numbers_tell_no_identities():
    rng = np.random.default_rng(0)
    numbers = {int(as_prediction(TRUTH, CITYSCAPES, rng).labels[0, 3]) for _ in range(20)}
    assert numbers == {26000, 26001}


def test_the_truth_is_left_alone():
    truth = TRUTH.copy()
    as_prediction(truth, CITYSCAPES, np.random.default_rng(0))
    np.testing.assert_array_equal(truth, TRUTH)
