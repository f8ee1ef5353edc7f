import pytest
import torch
from torchvision.ops import batched_nms, nms

from panoptic_ros.networks.suppression import best_of, suppress


def boxes_at_random(generator, count, whole):
    corners = torch.rand(count, 2, generator=generator) * 60
    boxes = torch.cat([corners, corners + 1 + 30 * torch.rand(count, 2, generator=generator)], 1)
    return boxes.round() if whole else boxes


@pytest.mark.parametrize("count", [1, 7, 200])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7])
@pytest.mark.parametrize("ties", [False, True])
def test_what_stays_is_torchvisions_batched_nms(count, threshold, ties):
    """Whole coordinates: batched_nms moves groups apart, which rounds others."""
    generator = torch.Generator().manual_seed(count)
    boxes = boxes_at_random(generator, count, whole=True)
    # Twins, and one without area.
    boxes[count // 2 :] = boxes[: count - count // 2].clone()
    boxes[-1, 2:] = boxes[-1, :2]
    scores = torch.rand(count, generator=generator)
    if ties:
        scores = (scores * 3).round() / 3
    groups = torch.randint(0, 3, (count,), generator=generator)
    valid = torch.rand(count, generator=generator) > 0.3
    valid[0] = True
    (known,) = torch.where(valid)
    expected = known[batched_nms(boxes[known], scores[known], groups[known], threshold)]
    chosen, good, final = best_of(boxes, scores, groups, valid, threshold, 50)
    assert final
    assert chosen[good].tolist() == expected[:50].tolist()
    assert good.sum() == min(len(expected), 50)


@pytest.mark.parametrize("seed", range(3))
def test_any_coordinates_give_what_nms_gives_in_a_group(seed):
    boxes = boxes_at_random(torch.Generator().manual_seed(seed), 300, whole=False)
    scores = torch.arange(300, 0, -1).float()
    everything = torch.ones(300, dtype=torch.bool)
    kept, final = suppress(boxes, torch.zeros(300).long(), everything, 0.4)
    assert final
    assert kept.nonzero()[:, 0].tolist() == nms(boxes, scores, 0.4).tolist()


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.6, 0.7])
def test_an_iou_that_is_the_threshold_is_judged_as_by_torchvision(threshold):
    part = round(threshold * 10)
    boxes = torch.tensor([[0.0, 0.0, 10.0, 1.0], [0.0, 0.0, float(part), 1.0]])
    kept, _ = suppress(boxes, torch.zeros(2).long(), torch.ones(2, dtype=torch.bool), threshold)
    assert kept.sum() == len(nms(boxes, torch.tensor([0.9, 0.8]), threshold))


def test_a_chain_longer_than_the_rounds_says_that_it_is_not_final():
    x = torch.arange(12.0)
    boxes = torch.stack([x * 4, x * 0, x * 4 + 10, x * 0 + 1], 1)
    rest = (torch.zeros(12).long(), torch.ones(12, dtype=torch.bool), 0.4)
    kept, final = suppress(boxes, *rest, rounds=13)
    assert final
    assert kept.tolist() == [True, False] * 6
    assert not suppress(boxes, *rest, rounds=4)[1]


def test_nothing_valid_leaves_nothing():
    nothing = torch.zeros(4, dtype=torch.bool)
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0]] * 4)
    _, good, final = best_of(boxes, torch.ones(4), torch.zeros(4).long(), nothing, 0.5, 6)
    assert final
    assert not good.any()
