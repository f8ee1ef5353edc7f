import cv2
import numpy as np
import pytest

from panoptic_ros.datasets import open_dataset
from panoptic_ros.datasets.cityscapes import Cityscapes

FRAME = "aachen_000000_000019"


@pytest.fixture
def root(tmp_path):
    """One frame of 4 x 6 pixels in Cityscapes' layout."""
    image = np.zeros((4, 6, 3), np.uint8)
    image[..., 2] = 200
    instances = np.full((4, 6), 7, np.uint16)
    instances[1, 2:4] = 26001
    for kind, suffix, pixels in (
        ("leftImg8bit", "leftImg8bit", image),
        ("gtFine", "gtFine_instanceIds", instances),
        ("gtFine", "gtFine_labelIds", np.where(instances > 1000, 26, 7).astype(np.uint8)),
    ):
        folder = tmp_path / kind / "val" / "aachen"
        folder.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / f"{FRAME}_{suffix}.png"), pixels)
    return tmp_path


def test_a_sample_is_read_as_rgb_label_ids_and_instance_ids(root):
    data = Cityscapes(root, "val")
    assert [s.name for s in data] == [FRAME]
    assert data[0].load_image()[0, 0].tolist() == [200, 0, 0]
    assert data[0].load_instance_ids()[1].tolist() == [7, 7, 26001, 26001, 7, 7]
    assert data[0].load_label_ids()[1].tolist() == [7, 7, 26, 26, 7, 7]


@pytest.mark.parametrize("kind", ["labelIds", "instanceIds"])
def test_a_missing_label_file_is_named_with_the_layout(root, kind):
    path = root / "gtFine" / "val" / "aachen" / f"{FRAME}_gtFine_{kind}.png"
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{path.name} is missing.*ROOT/leftImg8bit/SPLIT"):
        Cityscapes(root, "val")


def test_a_missing_split_is_named_with_the_layout(root):
    with pytest.raises(FileNotFoundError, match=r"leftImg8bit/train is missing.*CITY"):
        Cityscapes(root, "train")


def test_a_split_without_images_is_refused(root):
    next(root.glob("leftImg8bit/val/aachen/*")).unlink()
    with pytest.raises(FileNotFoundError, match="holds no image"):
        Cityscapes(root, "val")


def test_a_file_that_vanished_or_broke_is_named(root):
    sample = Cityscapes(root, "val")[0]
    sample.image.write_bytes(b"not a png")
    with pytest.raises(ValueError, match=f"{sample.image.name} is not an image"):
        sample.load_image()
    sample.image.unlink()
    with pytest.raises(FileNotFoundError, match=sample.image.name):
        sample.load_image()


def test_labels_of_the_wrong_type_are_refused(root):
    sample = Cityscapes(root, "val")[0]
    cv2.imwrite(str(sample.instance_ids), np.zeros((4, 6), np.uint8))
    with pytest.raises(ValueError, match=r"uint8.*expected uint16"):
        sample.load_instance_ids()


def test_unfinished_images_are_not_listed(root):
    folder = root / "leftImg8bit" / "val" / "aachen"
    (folder / ".aachen_000000_000020_leftImg8bit.png").write_bytes(b"")
    assert len(Cityscapes(root, "val")) == 1


def test_data_sets_are_found_by_name(root):
    assert isinstance(open_dataset("cityscapes", root, "val"), Cityscapes)
    with pytest.raises(ValueError, match=r"'nuscenes'.*cityscapes.*coco_panoptic.*kitti.*town"):
        open_dataset("nuscenes", root, "val")


def test_the_towns_own_truth_is_asked_for_by_name(root):
    data = open_dataset("town", root, "val")
    with pytest.raises(FileNotFoundError, match=rf"{FRAME}_depth\.png is missing"):
        data.depth(data[0])
