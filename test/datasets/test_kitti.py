import cv2
import numpy as np
import pytest

from panoptic_ros.datasets import load_frame, open_dataset
from panoptic_ros.datasets.kitti import Kitti, from_kitti
from panoptic_ros.labels import CITYSCAPES, LabelClass, LabelSet


@pytest.fixture
def root(tmp_path):
    """One frame of 4 x 6 pixels in KITTI's layout: road, a car, and cars nobody told apart."""
    instances = np.full((4, 6), 7 * 256, np.uint16)
    instances[1, 2:4] = 26 * 256 + 3
    instances[2, 2:4] = 26 * 256
    image = np.zeros((4, 6, 3), np.uint8)
    image[..., 2] = 200
    for kind, pixels in (("image_2", image), ("instance", instances)):
        folder = tmp_path / "training" / kind
        folder.mkdir(parents=True)
        assert cv2.imwrite(str(folder / "000000_10.png"), pixels)
    return tmp_path


def test_a_sample_is_read_in_the_packages_encoding(root):
    data = open_dataset("kitti", root)
    assert [(s.name, s.image_id) for s in data] == [("000000_10", "000000_10")]
    assert data[0].load_image()[0, 0].tolist() == [200, 0, 0]
    labels = data[0].load_instance_ids()
    assert labels.dtype == np.uint16
    assert labels[1].tolist() == [7, 7, 26003, 26003, 7, 7]
    assert labels[2].tolist() == [7, 7, 26, 26, 7, 7]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (7 * 256, 7),
        (7 * 256 + 2, 7),  # numbers tell nothing of stuff
        (33 * 256 + 255, 33255),
        (24 * 256, 24),  # a group
        (255 * 256 + 255, 255),  # licence plates, -1
    ],
)
def test_values(value, expected):
    assert from_kitti(np.array([[value]], np.uint16)).tolist() == [[expected]]


def test_two_pictures_of_one_frame_are_refused(root):
    picture = root / "training" / "image_2" / "000000_10.png"
    picture.with_suffix(".jpg").write_bytes(picture.read_bytes())
    with pytest.raises(ValueError, match=r"10.jpg and 000000_10.png are two pictures of one"):
        Kitti(root)


def test_a_truth_of_another_size_is_named_with_its_image(root):
    truth = root / "training" / "instance" / "000000_10.png"
    assert cv2.imwrite(str(truth), np.full((3, 6), 7 * 256, np.uint16))
    with pytest.raises(ValueError, match=rf"^{truth} is \[3, 6\].*its image .*image_2.*\[4, 6\]"):
        load_frame(Kitti(root)[0])


@pytest.mark.parametrize("kind", ["image_2", "instance"])
def test_a_missing_folder_is_named_with_the_layout(root, kind):
    (root / "training" / kind).rename(root / "elsewhere")
    with pytest.raises(FileNotFoundError, match=rf"training/{kind} is missing.*ROOT/SPLIT/image_2"):
        Kitti(root)


def test_the_splits_that_are_there_are_told(root):
    with pytest.raises(FileNotFoundError, match=r"val/image_2 is missing \(.*there: training\)"):
        Kitti(root, "val")


def test_a_missing_label_is_named(root):
    (root / "training" / "instance" / "000000_10.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"instance/000000_10\.png is missing"):
        Kitti(root)


def test_a_folder_without_images_is_refused(root):
    (root / "training" / "image_2" / "000000_10.png").unlink()
    with pytest.raises(FileNotFoundError, match="holds no image"):
        Kitti(root)


def test_labels_of_the_wrong_type_are_refused(root):
    sample = Kitti(root)[0]
    cv2.imwrite(str(sample.instance_ids), np.zeros((4, 6), np.uint8))
    with pytest.raises(ValueError, match=r"000000_10\.png holds uint8.*expected uint16"):
        sample.load_instance_ids()


def test_a_model_of_other_classes_is_refused(root):
    other = LabelSet("indoor", (*CITYSCAPES.classes, LabelClass(40, "sofa", True, (0, 0, 0))))
    with pytest.raises(ValueError, match=r"'indoor'.*sofa.*'cityscapes'"):
        Kitti(root, labels=other)


def test_train_ids_are_told(root):
    path = root / "training" / "instance" / "000000_10.png"
    values = np.full((4, 6), 255 * 256, np.uint16)
    values[:2] = 13 * 256 + 1
    cv2.imwrite(str(path), values)
    with pytest.raises(ValueError, match=rf"{path} looks like train ids .*road 7"):
        Kitti(root)[0].load_instance_ids()
