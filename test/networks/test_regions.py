import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from panoptic_ros.networks.regions import (
    AlignedRoIAlign,
    ExactAnchors,
    LateRemovalRoIHeads,
    LogitRankedRPN,
)

RATIOS = (0.5, 1.0, 2.0)


def test_anchors_are_not_rounded_and_lie_at_nominal_strides():
    anchors = ExactAnchors(((32,), (64,)), (RATIOS,) * 2)
    # Padded to 96 pixels, whose level of stride 8 has 12 rows; 13 would not divide it.
    image = ImageList(torch.zeros(1, 3, 96, 96), [(90, 96)])
    (found,) = anchors(image, [torch.zeros(1, 1, 24, 24), torch.zeros(1, 1, 13, 12)])
    assert len(found) == 3 * (24 * 24 + 13 * 12)
    # Half as high as wide, of the same area as a square of 32 pixels.
    width, height = 32 * 2**0.5, 32 / 2**0.5
    expected = torch.tensor([-width, -height, width, height]) / 2
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(found[1], torch.tensor([-16.0, -16.0, 16.0, 16.0]))
    first_of_second = 3 * 24 * 24
    assert found[first_of_second + 1].tolist() == [-32, -32, 32, 32]
    assert (found[first_of_second + 3] - found[first_of_second]).tolist() == [8, 0, 8, 0]


def bilinear(plane, y, x):
    """Return the value of a plane between its pixels, clamped at the border."""
    height, width = plane.shape
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    fy, fx = y - y0, x - x0
    top = plane[y0, x0] * (1 - fx) + plane[y0, x1] * fx
    return top * (1 - fy) + (plane[y1, x0] * (1 - fx) + plane[y1, x1] * fx) * fy


def pooled_by_hand(plane, box, stride, side):
    """Average ceil(bin) samples per axis, pixel centres at half-integers of the level."""
    x0, y0, x1, y1 = (v / stride - 0.5 for v in box)
    height, width = (y1 - y0) / side, (x1 - x0) / side
    rows, columns = -int(-height // 1), -int(-width // 1)
    result = torch.zeros(side, side)
    for i in range(side):
        for j in range(side):
            samples = [
                bilinear(
                    plane,
                    y0 + height * (i + (a + 0.5) / rows),
                    x0 + width * (j + (b + 0.5) / columns),
                )
                for a in range(rows)
                for b in range(columns)
            ]
            result[i, j] = sum(samples) / len(samples)
    return result


@pytest.mark.parametrize(
    ("box", "level"),
    [
        ((10.0, 6.0, 53.0, 31.0), 0),
        ((3.0, 5.0, 115.0, 117.0), 1),
        ((0.0, 0.0, 223.0, 224.0), 1),
        ((0.0, 0.0, 224.0, 224.0), 2),
        ((5.0, 0.0, 505.0, 500.0), 3),
    ],
)
def test_regions_are_pooled_aligned_from_the_level_of_their_size(box, level):
    torch.manual_seed(0)
    names = ["0", "1", "2", "3"]
    features = {n: torch.rand(1, 1, 128 >> i, 128 >> i) for i, n in enumerate(names)}
    pool = AlignedRoIAlign(names, 7)
    found = pool(features, [torch.tensor([box])], [(512, 512)])
    assert found.shape == (1, 1, 7, 7)
    expected = pooled_by_hand(features[names[level]][0, 0], box, 4 << level, 7)
    torch.testing.assert_close(found[0, 0], expected, atol=1e-5, rtol=0)


def test_regions_of_several_images_keep_their_order():
    features = {"0": torch.stack([torch.full((1, 8, 8), v) for v in (1.0, 2.0)])}
    boxes = [torch.tensor([[0.0, 0.0, 8.0, 8.0]] * 2), torch.tensor([[4.0, 4.0, 9.0, 9.0]])]
    found = AlignedRoIAlign(["0"], 2)(features, boxes, [(32, 32)] * 2)
    assert found.mean((1, 2, 3)).tolist() == [1, 1, 2]


def chooser(kind, **attributes):
    """Return an object with only what the choice of boxes reads."""
    made = kind.__new__(kind)
    torch.nn.Module.__init__(made)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made.eval()


def test_proposals_with_the_same_probability_are_ranked_by_logit():
    limits = {"training": 2, "testing": 2}
    rpn = chooser(LogitRankedRPN, nms_thresh=0.7, _pre_nms_top_n=limits, _post_nms_top_n=limits)
    boxes = torch.tensor([[[0.0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9], [60, 0, 60.0005, 9]]])
    # Sigmoids of 1 in float32; two levels of two anchors.
    logits = torch.tensor([20.0, 40.0, 30.0, 50.0])[:, None]
    (found,), (scores,) = rpn.filter_proposals(boxes, logits, [(10, 100)], [2, 2])
    assert scores.tolist() == [50, 40]
    assert torch.equal(found, boxes[0, [3, 1]])
    # Outside the image nothing is left of the last box.
    (found,), (scores,) = rpn.filter_proposals(boxes, logits, [(10, 50)], [2, 2])
    assert scores.tolist() == [40, 30]


def test_small_boxes_take_their_place_among_the_detections():
    class Decoded:
        def decode(self, regression, proposals):
            return regression

    heads = chooser(
        LateRemovalRoIHeads,
        box_coder=Decoded(),
        score_thresh=0.05,
        nms_thresh=0.5,
        detections_per_img=2,
    )
    boxes = torch.tensor([[0.0, 0, 9, 9], [20, 0, 20.001, 9], [40, 0, 49, 9]])
    regression = boxes[:, None].expand(3, 2, 4)
    logits = torch.tensor([[0.0, 1.0], [0.0, 3.0], [0.0, 2.0]])
    found, scores, labels = heads.postprocess_detections(logits, regression, [boxes], [(50, 50)])
    assert torch.equal(found[0], boxes[[1, 2]])
    torch.testing.assert_close(scores[0], torch.tensor([3.0, 2.0]).sigmoid())
    assert labels[0].tolist() == [1, 1]
