import json

import cv2
import numpy as np
import pytest
from PIL import Image

from panoptic_ros.datasets.coco_panoptic_writer import PanopticWriter
from panoptic_ros.datasets.exports import to_kitti
from panoptic_ros.datasets.panoptic_sources import KITTI_STEP, open_source
from panoptic_ros.evaluation.label_files import score_sources
from panoptic_ros.labels import CITYSCAPES, class_ids
from panoptic_ros.scores.confusion import ConfusionMatrix
from panoptic_ros.scores.panoptic_quality import PanopticQuality
from panoptic_ros.scores.segments import label_image_segments

NAMES = ("aachen_000000_000001", "bochum_000000_000002")


def scene(seed, truth=True):
    """Return road, sky, void, cars and people; without void and shifted where it is no truth."""
    rng = np.random.default_rng(seed)
    labels = np.full((24, 40), 7, np.uint16)
    labels[:8] = 23
    for value in (26000, 26001, 24000):
        y, x = int(rng.integers(0, 14)), int(rng.integers(0, 28))
        labels[y : y + 9, x : x + 9] = value
    if truth:
        labels[:, :2] = 0
        return labels
    return np.roll(labels, 2, axis=1)


def write(root, layout, images):
    """Write label images in a layout; return what `open_source` is called with."""
    if layout == "coco":
        writer = PanopticWriter(root, "files", CITYSCAPES)
        writer.finish([writer.write(name, name, labels) for name, labels in images.items()])
        return root / "files.json"
    for name, labels in images.items():
        for path, pixels in files(layout, name, labels).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(root / path), pixels)
    return root


def files(layout, name, labels):
    city = name.split("_")[0]
    if layout in ("city folders", "cityscapes"):
        folder = f"gtFine/val/{city}/" if layout == "city folders" else ""
        start = f"{folder}{name}_gtFine"
        return {
            f"{start}_instanceIds.png": labels,
            f"{start}_labelIds.png": class_ids(labels).astype(np.uint8),
        }
    if layout == "kitti":
        semantic = class_ids(labels).astype(np.uint8)
        instances = to_kitti(labels, CITYSCAPES)
        return {f"instance/{name}.png": instances, f"semantic/{name}.png": semantic}
    if layout == "kitti_step":
        classes = class_ids(labels).astype(int)
        train = np.full(labels.shape, 255)
        for i, class_id in enumerate(CITYSCAPES.ids):
            train[classes == class_id] = i
        number = np.where(labels >= 1000, labels % 1000 + 1, 0)
        return {f"{name}.png": np.stack([number & 255, number >> 8, train], -1).astype(np.uint8)}
    return {f"{name}.png": labels}


LAYOUTS = ("coco", "city folders", "cityscapes", "kitti", "kitti_step", "labels")


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """Both sides in every layout."""
    root = tmp_path_factory.mktemp("layouts")
    found = {}
    for side, seeds in (("truth", (0, 1)), ("prediction", (0, 1))):
        images = {n: scene(s, side == "truth") for n, s in zip(NAMES, seeds, strict=True)}
        for layout in LAYOUTS:
            (root / side / layout).mkdir(parents=True)
            found[side, layout] = write(root / side / layout, layout, images)
    return found


@pytest.mark.parametrize("prediction", LAYOUTS)
@pytest.mark.parametrize("truth", LAYOUTS)
def test_every_layout_against_every_other_gives_the_same_score(truth, prediction, sides):
    true = open_source(sides["truth", truth])
    score = score_sources(true, open_source(sides["prediction", prediction], labels=true.labels))
    assert (score.broken, score.missing, score.unused, score.warnings) == ([], [], [], [])
    quality, confusion = PanopticQuality.of(CITYSCAPES), ConfusionMatrix(CITYSCAPES)
    for seed in (0, 1):
        pair = scene(seed), scene(seed, truth=False)
        quality.add(*label_image_segments(*pair, CITYSCAPES))
        confusion.add(*pair)
    assert score.results()["all"] == pytest.approx(quality.results()["all"])
    assert 0.3 < score.results()["all"]["pq"] < 0.95
    assert score.confusion.mean_iou() == pytest.approx(confusion.mean_iou())


def test_step_knows_two_kinds_of_things(sides):
    source = open_source(sides["truth", "kitti_step"])
    assert (source.kind, source.labels) == ("kitti_step", KITTI_STEP)
    assert [c.name for c in KITTI_STEP.things] == ["person", "car"]


def test_polygons_alone_are_drawn(tmp_path):
    shape = {"label": "road", "polygon": [[0, 0], [9, 0], [9, 5], [0, 5]]}
    content = {"imgWidth": 10, "imgHeight": 6, "objects": [shape]}
    (tmp_path / f"{NAMES[0]}_gtFine_polygons.json").write_text(json.dumps(content))
    source = open_source(tmp_path)
    assert source.kind == "cityscapes"
    assert (source.entries[0].read().ids() == 7).all()


def train_ids():
    return np.where(scene(0) >= 1000, 13001, 255).astype(np.uint16)


def test_train_ids_and_strange_ids_are_refused_by_name(tmp_path, sides):
    path = tmp_path / f"{NAMES[0]}.png"
    cv2.imwrite(str(path), train_ids())
    with pytest.raises(ValueError, match=rf"{path} looks like train ids .*road 7"):
        open_source(tmp_path)
    truth = open_source(sides["truth", "labels"])
    cv2.imwrite(str(path), np.full((24, 40), 60, np.uint8))
    score = score_sources(truth, open_source(tmp_path, labels=truth.labels))
    assert score.broken == [
        f"{path}: holds [60], of no class; needed are label ids (road 7 ... bicycle 33), as "
        "*_gtFine_labelIds.png holds them"
    ]
    assert score.missing == [NAMES[1]]


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (None, "no PNG file"),
        ("kitti", r"no PNG file \(label id \* 256"),
        ("cityscapes", "no .*ins"),
    ],
)
def test_an_empty_folder_says_what_it_should_hold(layout, words, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}: {words}"):
        open_source(tmp_path, kind=layout)


def test_train_ids_without_void_and_instances_are_told_by_what_they_hold(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.array([[0, 1, 2, 8], [10, 13, 9, 5]], np.uint8))
    with pytest.raises(ValueError, match=rf"{tmp_path} looks like train ids .*\[0, 1, 2, 5, 8"):
        open_source(tmp_path)
    # A street with a wall and what stands before it, as label ids.
    cv2.imwrite(str(path), np.array([[0, 1, 4, 7], [8, 11, 12, 13]], np.uint8))
    assert open_source(tmp_path).kind == "labels"


def test_pictures_of_colours_are_no_labels(tmp_path):
    (tmp_path / "0001").mkdir()
    path = tmp_path / "0001" / "000000.png"
    cv2.imwrite(str(path), np.full((24, 40, 3), (128, 64, 128), np.uint8))
    with pytest.raises(ValueError, match=r"red is \[128\], no train id"):
        open_source(tmp_path).entries[0].read()


def png(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


@pytest.mark.parametrize(
    ("suffix", "names"),
    [
        ("1.png", ["A/x/1", "B/x/1"]),
        ("1.PNG", ["A/x/1", "B/x/1"]),
        ("1_gtFine_instanceIds.png", ["A/x/1", "B/x/1"]),
        ("instance/1.png", ["A/x/instance/1", "B/x/instance/1"]),
    ],
)
def test_frames_of_one_name_have_as_many_folders_as_tell_them_apart(tmp_path, suffix, names):
    for city in "AB":
        png(tmp_path / city / "x" / suffix, scene(0))
    assert [entry.name for entry in open_source(tmp_path).entries] == names


def test_frames_of_a_coco_file_are_told_apart_as_those_of_a_folder(tmp_path):
    def names(*files):
        entries = [{"image_id": f, "file_name": f, "segments_info": []} for f in files]
        (tmp_path / "files.json").write_text(json.dumps({"annotations": entries}))
        return [entry.name for entry in open_source(tmp_path / "files.json").entries]

    (tmp_path / "files").mkdir()
    assert names("A/1.png", "B/1.png") == ["A/1", "B/1"]
    assert names("/A/1.png", "/B/2_pred.png", "/A/1.png") == ["1", "2", "1"]


def test_two_files_of_one_frame_are_refused(tmp_path):
    for suffix in ("png", "PNG"):
        png(tmp_path / f"1.{suffix}", scene(0))
    with pytest.raises(ValueError, match=r"1\.png are two pictures of one frame; remove one"):
        open_source(tmp_path)


def test_splits_of_step_are_told_apart(tmp_path):
    for split in ("train", "val"):
        png(tmp_path / split / "0002" / "000000.png", np.zeros((4, 4, 3), np.uint8))
    names = [entry.name for entry in open_source(tmp_path).entries]
    assert names == ["train/0002/000000", "val/0002/000000"]


def test_kittis_own_folder_has_pictures_beside_the_labels(tmp_path):
    png(tmp_path / "image_2" / "1.png", np.full((4, 4, 3), 90, np.uint8))
    png(tmp_path / "instance" / "1.png", np.full((4, 4), 26 * 256 + 1, np.uint16))
    source = open_source(tmp_path)
    assert (source.kind, len(source.entries)) == ("kitti", 1)
    assert (source.entries[0].read().ids() == 26001).all()


def test_indices_of_a_palette_are_the_labels(tmp_path):
    picture = Image.fromarray(np.array([[7, 26], [23, 0]], np.uint8), "P")
    picture.putpalette(list(range(20)) * 38)
    picture.save(tmp_path / "1.png")
    (entry,) = open_source(tmp_path).entries
    assert entry.read().ids().tolist() == [[7, 26], [23, 0]]


def test_one_file_that_cannot_be_read_is_one_broken_frame(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    png(tmp_path / "b.png", scene(0))
    source = open_source(tmp_path)
    score = score_sources(source, source)
    assert (source.kind, len(score.frames)) == ("labels", 1)
    assert score.broken == [f"{tmp_path / 'a.png'}: cannot be decoded; it is truncated or no image"]


def test_the_pngs_of_a_coco_file_are_no_labels(sides):
    folder = sides["truth", "coco"].with_suffix("")
    with pytest.raises(ValueError, match=r"holds the PNG files of .*json; give that file"):
        open_source(folder)


def test_predictions_of_which_nothing_matches_are_a_warning(tmp_path):
    """Train ids of few classes can be label ids, too."""
    png(tmp_path / "truth" / "1.png", np.full((4, 4), 7, np.uint8))
    png(tmp_path / "found" / "1.png", np.full((4, 4), 13, np.uint8))
    truth = open_source(tmp_path / "truth")
    score = score_sources(truth, open_source(tmp_path / "found", labels=truth.labels))
    (warning,) = score.warnings
    assert warning.startswith(f"{tmp_path / 'found'}: none of its segments matches the truth; ")
    assert "needed are label ids" in warning
