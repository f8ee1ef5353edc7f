from dataclasses import replace

import numpy as np
import pytest
from ground_scenes import (
    BICYCLE,
    BUILDING,
    CAR,
    PERSON,
    POLE,
    RIDER,
    ROAD,
    SIDEWALK,
    SIGN,
    SKY,
    VEGETATION,
    WINDOW,
    Box,
    camera,
    cell,
    observe,
    pose,
    projection,
    render,
)

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.grid.observation import FREE, OCCUPIED, UNKNOWN, Sight
from panoptic_ros.prediction import PanopticPrediction, Segment

# A box 2 m wide whose face is 12 m ahead of base_link, taller than the camera.
FACE = 12.0
BOX = Box(CAR, (FACE, -1, 0), (FACE + 4, 1, 2))


def columns_of(observation, y):
    return observation.state[cell(10, y)[0]]


def occupied_x(observation, y):
    """Nearest x of occupied cells in the row of y."""
    return WINDOW.centers()[0, columns_of(observation, y) == OCCUPIED, 0].min()


def test_places_one_box_and_knows_nothing_behind_it():
    labels, _ = render(camera(), pose(), [BOX])
    seen = observe(camera(), pose(), labels)
    for y in (-0.7, 0.1, 0.7):
        assert occupied_x(seen, y) == pytest.approx(FACE + 0.1, abs=0.21)
        assert (columns_of(seen, y)[cell(FACE + 0.8, y)[1] :] == UNKNOWN).all()
        assert (columns_of(seen, y)[cell(6, y)[1] : cell(11.5, y)[1]] == FREE).all()
    assert (seen.state[cell(20, 4)], seen.state[cell(20, -4)]) == (FREE, FREE)
    assert seen.classes[seen.state == OCCUPIED].tolist() == [26] * (seen.state == OCCUPIED).sum()
    assert set(np.unique(seen.classes[seen.state == FREE])) == {ROAD}
    assert (seen.classes[seen.state == UNKNOWN] == 0).all()
    assert (seen.weight[seen.state == UNKNOWN] == 0).all()
    assert (seen.state.dtype, seen.classes.dtype, seen.weight.dtype) == ("int8", "uint8", "f4")


def test_nothing_behind_the_box_is_free():
    labels, _ = render(camera(), pose(), [BOX])
    seen = observe(camera(), pose(), labels)
    xy = WINDOW.centers() - [1.5, 0]
    # Shadow of the face: between the lines to its corners. One cell at its edge is left out.
    hidden = (xy[..., 0] > FACE - 1.5 + 0.3) & (
        np.abs(xy[..., 1]) < xy[..., 0] / (FACE - 1.5) - 0.2
    )
    assert hidden.sum() > 500
    assert (seen.state[hidden] != FREE).all()


@pytest.mark.parametrize(
    ("lens", "at", "slopes", "options"),
    [
        ({}, {"pitch": 0.06, "x": 1.0, "y": 0.5}, (0, 0), {}),
        ({}, {"roll": 0.08, "pitch": 0.03}, (0, 0), {}),
        ({}, {"yaw": 0.15}, (0, 0), {}),
        ({}, {}, (-np.tan(0.03), np.tan(0.02)), {"ground_pitch": 0.03, "ground_roll": 0.02}),
        ({}, {"z": 1.2}, (0, 0), {}),
        ({"D": [-0.25, 0.08, 1e-3, -1e-3, 0]}, {"pitch": 0.05}, (0, 0), {}),
        ({"model": "equidistant", "D": [0.02, 0.01, 0, 0]}, {}, (0, 0), {}),
        (
            {"model": "rational_polynomial", "D": [0.5, 0.1, 0, 0, 0.01, 0.8, 0.1, 0]},
            {},
            (0, 0),
            {},
        ),
        ({"roi": (100, 80, 600, 320)}, {}, (0, 0), {}),
    ],
    ids=["pitch", "roll", "yaw", "slope", "low", "plumb_bob", "equidistant", "rational", "roi"],
)
def test_places_the_box_whatever_the_camera(lens, at, slopes, options):
    model, at = camera(**lens), pose(**at)
    # The box stands in the slope: where it meets the ground is the same.
    box = Box(CAR, (FACE, -1, -1), (FACE + 4, 1, 2))
    labels, _ = render(model, at, [box], slopes)
    seen = observe(model, at, labels, **options)
    for y in (-0.7, 0.1, 0.7):
        assert occupied_x(seen, y) == pytest.approx(FACE + 0.1, abs=0.21)
        assert (columns_of(seen, y)[cell(8, y)[1] : cell(11.5, y)[1]] == FREE).all()
        assert (columns_of(seen, y)[cell(FACE + 0.8, y)[1] :] == UNKNOWN).all()


def test_binning_shows_the_same_ground():
    model = camera(1600, 800, 1000.0)
    labels, _ = render(model, pose(), [BOX])
    binned = CameraModel(1600, 800, model.K, binning=(2, 2))
    small = labels[::2, ::2]
    assert occupied_x(observe(binned, pose(), small), 0.1) == pytest.approx(FACE + 0.1, abs=0.21)
    large = observe(model, pose(), labels)
    again = observe(binned, pose(), small)
    assert (large.state == again.state).mean() > 0.97


def test_the_ground_height_moves_the_plane():
    at = pose(z=0.5)  # base_link is 1 m above the ground
    labels, _ = render(camera(), pose(), [BOX])
    seen = observe(camera(), at, labels, ground_height=-1.0)
    assert occupied_x(seen, 0.1) == pytest.approx(FACE + 0.1, abs=0.21)


def test_kerbs_count_with_their_height():
    box = Box(BUILDING, (FACE, -8, 0), (FACE + 4, 8, 2.5))
    pavement = Box(SIDEWALK, (8, -8, -1), (40, 8, 0.15))
    labels, _ = render(camera(), pose(), [pavement, box])
    seen = observe(camera(), pose(), labels, ground_heights={"sidewalk": 0.15})
    assert occupied_x(seen, 0.1) == pytest.approx(FACE + 0.1, abs=0.21)
    assert seen.classes[cell(6.9, 0.1)] == ROAD
    assert seen.classes[cell(10, 0.1)] == SIDEWALK
    flat = observe(camera(), pose(), labels, ground_heights={})
    # On one plane all that stands on the pavement is 1.35 / 1.5 times nearer than it seems.
    assert occupied_x(flat, 0.1) == pytest.approx(1.5 + (FACE - 1.5) / 0.9, abs=0.3)


def test_certainty_falls_with_the_ground_that_a_pixel_covers():
    labels, _ = render(camera(), pose(), [])
    seen = observe(camera(), pose(), labels)
    near, middle, far = (seen.weight[cell(x, 0.1)] for x in (6, 15, 25))
    assert 0 < far < middle < near <= 1
    # A pixel covers distance^2 / (focal length * height), cells are 0.2 m.
    assert far == pytest.approx(0.2 / ((25 - 1.5) ** 2 / (500 * 1.5)), rel=0.05)


def test_far_cells_that_fall_between_pixels_are_unknown():
    labels, _ = render(camera(), pose(), [])
    seen = observe(camera(), pose(), labels, max_footprint=0.5)
    reach = 1.5 + np.sqrt(0.5 * 500 * 1.5)  # where a pixel covers 0.5 m
    row = columns_of(seen, 0.1)
    assert row[cell(reach - 0.4, 0.1)[1]] == FREE
    assert (row[cell(reach + 0.4, 0.1)[1] :] == UNKNOWN).all()
    # A cell between a pixel of road and one of wall may be either.
    rows = np.nonzero((labels == ROAD).any(axis=1))[0]
    labels[: rows[0] + 57] = SKY
    boundary = 1.5 + 500 * 1.5 / 57
    row = columns_of(observe(camera(), pose(), labels), 0.1)
    assert row[cell(boundary - 0.2, 0.1)[1]] == FREE
    assert (row[cell(boundary, 0.1)[1] :] == UNKNOWN).all()


def test_says_how_cells_are_seen_and_whose_the_occupied_ones_are():
    labels, _ = render(camera(), pose(), [BOX])
    seen = observe(camera(), pose(), labels, max_footprint=0.3)
    assert seen.sight[cell(8, 0.1)] == Sight.NEVER_SEEN
    assert seen.sight[cell(FACE + 3, 0.1)] == Sight.HIDDEN
    assert seen.sight[cell(0.1, 0.1)] == Sight.OUT_OF_VIEW
    assert seen.sight[cell(30, 7)] == Sight.TOO_COARSE
    assert set(np.unique(seen.ids[seen.state == OCCUPIED])) == set(np.unique(labels)) - {ROAD, SKY}
    assert (seen.ids[seen.state != OCCUPIED] == 0).all()


def test_cells_out_of_the_picture_are_unknown():
    labels, _ = render(camera(), pose(), [])
    seen = observe(camera(), pose(), labels)
    xy = WINDOW.centers() - [1.5, 0]
    outside = np.abs(xy[..., 1]) > 0.82 * xy[..., 0]  # half the width is 400 / 500
    outside |= xy[..., 0] < 1.5 * 500 / 201
    assert (seen.state[outside] == UNKNOWN).all()


def test_ground_under_the_bonnet_is_unknown():
    labels, _ = render(camera(), pose(), [])
    labels[340:] = CAR
    seen = observe(camera(), pose(), labels, hidden_rows=60)
    nearest = 1.5 + 1.5 * 500 / (339.5 - 199.5)
    assert (columns_of(seen, 0.1)[: cell(nearest - 0.2, 0)[1]] == UNKNOWN).all()
    assert columns_of(seen, 0.1)[cell(nearest + 0.4, 0)[1]] == FREE
    assert not (seen.state == OCCUPIED).any()
    mask = np.zeros(labels.shape, np.uint8)
    mask[340:] = 1
    np.testing.assert_array_equal(
        observe(camera(), pose(), labels, ego_mask=mask).state, seen.state
    )


def test_masks_cut_by_the_lower_edge_are_not_placed():
    # Its face is 2.5 m ahead of the camera, nearer than any ground in the picture.
    box = Box(CAR, (4.0, -0.6, 0), (6, 0.6, 1.8))
    labels, depth = render(camera(), pose(), [box])
    assert (labels[-1] == CAR).any()
    seen = observe(camera(), pose(), labels)
    assert not (seen.state == OCCUPIED).any()
    assert seen.instances == []
    assert (columns_of(seen, 0.1) == UNKNOWN).all()
    # With depth its place is known.
    assert occupied_x(observe(camera(), pose(), labels, depth=depth), 0.1) == pytest.approx(4.1)


@pytest.mark.parametrize("value", [SIGN, 19, SKY])
def test_hanging_things_are_not_placed(value):
    labels, _ = render(camera(), pose(), [])
    labels[210:240, 300:500] = value
    seen = observe(camera(), pose(), labels)
    assert not (seen.state == OCCUPIED).any()
    # The ground before them is known, the ground that they hide is not.
    assert seen.state[cell(10, 0.1)] == FREE
    assert seen.state[cell(1.5 + 750 / 25, 0.1)] == UNKNOWN


def test_a_sign_stands_where_its_pole_does():
    pole = Box(POLE, (FACE, -0.1, 0), (FACE + 0.2, 0.1, 3))
    plate = Box(SIGN, (FACE - 0.05, -0.6, 0.8), (FACE, 0.6, 1.4))
    labels, _ = render(camera(), pose(), [pole, plate])
    seen = observe(camera(), pose(), labels)
    xy = WINDOW.centers()[seen.state == OCCUPIED]
    assert len(xy)
    np.testing.assert_allclose(xy, np.broadcast_to([FACE + 0.1, 0], xy.shape), atol=0.31)


@pytest.mark.parametrize("hides", [SIGN, 0])
def test_things_whose_lower_edge_is_hidden_are_not_placed(hides):
    labels, _ = render(camera(), pose(), [BOX])
    bottom = np.nonzero((labels == CAR).any(axis=1))[0][-1]
    labels[bottom - 20 : bottom + 6, 200:600] = hides
    seen = observe(camera(), pose(), labels)
    assert not (seen.state == OCCUPIED).any()
    assert seen.instances == []


@pytest.mark.parametrize(
    ("size", "rows", "value", "placed"),
    [
        (1, 1, 0, True),
        (1, 3, 0, True),
        (1, 7, 0, False),
        (1, 3, SIGN, False),
        (2, 6, 0, True),
        (2, 14, 0, False),
    ],
)
def test_a_seam_of_few_unlabeled_pixels_belongs_to_the_obstacle(size, rows, value, placed):
    height, width = camera().size
    seen_by = camera().scaled((size * height, size * width))
    labels, _ = render(seen_by, pose(), [BOX])
    bottom = np.nonzero((labels == CAR).any(axis=1))[0][-1]
    seam = labels[bottom + 1 - rows : bottom + 1]
    seam[seam == CAR] = value
    seen = observe(seen_by, pose(), labels)
    assert (seen.state == OCCUPIED).any() == placed
    assert len(seen.instances) == placed
    if placed:
        assert occupied_x(seen, 0.1) == pytest.approx(FACE + 0.1, abs=0.21)
        assert (columns_of(seen, 0.1)[cell(FACE + 0.8, 0)[1] :] == UNKNOWN).all()


@pytest.mark.parametrize("crown_from", [2.2, 0.5], ids=["above the camera", "below it"])
def test_the_crown_of_a_tree_is_not_placed_only_its_trunk(crown_from):
    trunk = Box(VEGETATION, (FACE, -0.2, 0), (FACE + 0.4, 0.2, 4))
    crown = Box(VEGETATION, (FACE - 0.5, -2, crown_from), (FACE + 1, 2, 5))
    labels, _ = render(camera(), pose(), [trunk, crown])
    seen = observe(camera(), pose(), labels)
    xy = WINDOW.centers()[seen.state == OCCUPIED]
    assert len(xy)
    np.testing.assert_allclose(xy, np.broadcast_to([FACE + 0.1, 0], xy.shape), atol=0.41)
    assert seen.state[cell(FACE + 0.5, 2)] == FREE


def test_a_hedge_is_placed_all_along():
    hedge = Box(VEGETATION, (6, 3, 0), (30, 4, 1))
    labels, _ = render(camera(), pose(), [hedge])
    seen = observe(camera(), pose(), labels)
    # The estimated face lies in one of the cells at y = 3 in every column up to 20 m.
    face = seen.state[cell(6, 2.9)[0] : cell(6, 3.1)[0] + 1, cell(6.1, 3)[1] : cell(20, 3)[1]]
    assert (face == OCCUPIED).any(axis=0).all()


def test_ground_between_wheels_is_not_free():
    low, high = (FACE, -2, 0.25), (FACE + 1.8, 2, 1.5)
    wheels = [Box(CAR, (FACE, y - 0.3, 0), (FACE + 1.8, y + 0.3, 0.6)) for y in (-1.3, 1.3)]
    labels, _ = render(camera(), pose(), [Box(CAR, low, high), *wheels])
    seen = observe(camera(), pose(), labels)
    for y in (-1.3, -0.5, 0.1, 0.5, 1.3):
        assert occupied_x(seen, y) == pytest.approx(FACE + 0.1, abs=0.21)
        under = columns_of(seen, y)[cell(FACE + 0.3, y)[1] : cell(FACE + 1.5, y)[1]]
        assert (under != FREE).all()


def test_a_person_stands_where_the_feet_are():
    legs = [Box(PERSON, (8, y - 0.08, 0), (8.3, y + 0.08, 0.8)) for y in (-0.15, 0.15)]
    arms = Box(PERSON, (8, -0.7, 0.9), (8.3, 0.7, 1.1))
    labels, _ = render(camera(), pose(), [*legs, arms])
    (person,) = observe(camera(), pose(), labels).instances
    assert person.position == pytest.approx((8, 0), abs=0.15)


def test_a_rider_is_where_the_bicycle_is():
    bike = Box(BICYCLE, (FACE, -0.1, 0), (FACE + 1.8, 0.1, 1.0))
    rider = Box(RIDER, (FACE + 0.6, -0.3, 0.4), (FACE + 1, 0.3, 1.9))
    labels, _ = render(camera(), pose(), [bike, rider])
    placed = {i.id: i for i in observe(camera(), pose(), labels).instances}
    assert set(placed) == {BICYCLE, RIDER}
    # Where the wheel touches the ground; handlebars and rim reach out before it.
    assert placed[RIDER].position[0] == pytest.approx(FACE, abs=0.1)
    assert placed[BICYCLE].position[0] == pytest.approx(FACE - 0.25, abs=0.1)


def test_a_rider_behind_the_bicycle_is_where_it_is():
    bike = Box(BICYCLE, (FACE, -0.4, 0), (FACE + 0.5, 0.4, 1.1))
    rider = Box(RIDER, (FACE + 0.1, -0.3, 0.9), (FACE + 0.4, 0.3, 1.9))
    labels, _ = render(camera(), pose(), [bike, rider])
    rows, columns = np.nonzero(labels == RIDER)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    segment = Segment(RIDER, 25, True, 1.0, len(rows), tuple(map(int, box)))
    project = projection(camera(), pose())
    (without,) = project(PanopticPrediction(labels)).instances
    placed = {i.id: i for i in project(PanopticPrediction(labels, [segment])).instances}
    assert without.id == BICYCLE
    assert placed[RIDER].position == placed[BICYCLE].position == without.position
    assert placed[RIDER].width == pytest.approx(0.6, abs=0.1)
    aside = replace(segment, box=(600, 150, 640, 210))
    assert len(project(PanopticPrediction(labels, [aside])).instances) == 1


def test_instances_have_place_width_and_covariance():
    other = Box(PERSON, (20, 4, 0), (20.5, 4.6, 1.8))
    labels, _ = render(camera(), pose(), [BOX, other])
    car, person = sorted(observe(camera(), pose(), labels).instances, key=lambda i: -i.class_id)
    assert (car.id, car.class_id, person.id, person.class_id) == (CAR, 26, PERSON, 24)
    assert car.position == pytest.approx((FACE, 0), abs=0.15)
    assert car.width == pytest.approx(2, abs=0.15)
    assert person.position == pytest.approx((20, 4.3), abs=0.4)
    assert np.linalg.eigvalsh(car.covariance).min() > 0
    # Along the line of sight less is known, and less of what is further away.
    assert car.covariance[0, 0] > car.covariance[1, 1]
    assert np.trace(person.covariance) > np.trace(car.covariance)
    along = np.array([18.5, 4.3]) / np.hypot(18.5, 4.3)
    widest = np.linalg.eigh(person.covariance)[1][:, -1]
    assert abs(along @ widest) == pytest.approx(1, abs=0.01)


def test_crowd_regions_occupy_but_are_no_instances():
    labels, _ = render(camera(), pose(), [Box(26, (FACE, -1, 0), (FACE + 4, 1, 2))])
    seen = observe(camera(), pose(), labels)
    assert occupied_x(seen, 0.1) == pytest.approx(FACE + 0.1, abs=0.21)
    assert (seen.classes[seen.state == OCCUPIED] == 26).all()
    assert seen.instances == []


def test_ground_seen_over_a_low_obstacle_is_free():
    labels, _ = render(camera(), pose(), [Box(13, (8, -1, 0), (8.2, 1, 0.5))])
    seen = observe(camera(), pose(), labels)
    assert occupied_x(seen, 0.1) == pytest.approx(8.1, abs=0.21)
    hidden = 1.5 + 6.7 * 1.5 / 1.0  # behind it the ground is hidden up to here
    assert (columns_of(seen, 0.1)[cell(8.7, 0)[1] : cell(hidden - 0.3, 0)[1]] == UNKNOWN).all()
    assert columns_of(seen, 0.1)[cell(hidden + 1, 0)[1]] == FREE


def test_ground_classes_are_configurable():
    labels, _ = render(camera(), pose(), [])
    assert not (observe(camera(), pose(), labels, ground=("sidewalk",)).state == FREE).any()
    values = np.full_like(labels, 60000)  # no class of the label set
    assert (observe(camera(), pose(), values).state == UNKNOWN).all()


def test_reads_int32_labels():
    labels, _ = render(camera(), pose(), [BOX])
    expected = observe(camera(), pose(), labels)
    again = observe(camera(), pose(), labels.astype(np.int32))
    np.testing.assert_array_equal(again.state, expected.state)
    assert [i.id for i in again.instances] == [CAR]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ground": ("rode",)}, "ground names .*'rode'.*road"),
        ({"overhead": ("road",)}, "road.* ground and overhead"),
        ({"ground_heights": {"kerb": 0.1}}, "ground_heights names .*kerb"),
        ({"hidden_rows": 400}, "hidden_rows 400"),
        ({"max_footprint": 0.0}, "max_footprint is 0.0; it must be in 0.01..100"),
        ({"min_height": 3.0}, "min_height 3.0 .* clearance 2.5"),
        ({"ground_pitch": 1.5}, "ground_pitch is 1.5; it must be in -0.5..0.5"),
        ({"ground_roll": float("nan")}, "ground_roll is nan; it must be in"),
        ({"ego_mask": np.zeros((2, 3))}, r"ego mask is \(2, 3\)"),
        ({"pixel_sigma": 0.0}, "pixel_sigma is 0.0; it must be positive"),
        ({"range_sigma": float("inf")}, "range_sigma is inf; it must be positive"),
        ({"ground_height": 2.0}, "above the ground plane"),
    ],
)
def test_refuses_options_and_says_why(options, message):
    with pytest.raises(ValueError, match=message):
        projection(camera(), pose(), **options)


def test_refuses_poses_and_says_why():
    with pytest.raises(ValueError, match="shows no ground"):
        projection(camera(), pose(yaw=np.pi))
    with pytest.raises(ValueError, match="rotation"):
        projection(camera(), np.diag([1.0, 1, 2, 1]))
    with pytest.raises(ValueError, match=r"finite \[4, 4\]"):
        projection(camera(), np.eye(3))
    for far in (2e4, 1e38, -1e300):
        with pytest.raises(ValueError, match=r"in base_link, farther than 10000 m"):
            projection(camera(), pose(x=far))


def test_refuses_pictures_of_another_size():
    labels, depth = render(camera(), pose(), [])
    with pytest.raises(ValueError, match=r"label image is \(200, 400\)"):
        observe(camera(), pose(), labels[::2, ::2])
    with pytest.raises(ValueError, match="depth image is"):
        observe(camera(), pose(), labels, depth=depth[::2])
    with pytest.raises(ValueError, match=r"points must be \[N, 3\]"):
        observe(camera(), pose(), labels, points=np.zeros((3, 4)))
