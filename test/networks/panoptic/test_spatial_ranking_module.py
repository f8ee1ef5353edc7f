import pytest
import torch
from torch.nn import functional as F

from panoptic_ros.networks.panoptic.spatial_ranking import SpatialRanking


def test_shape_and_gradients_reach_every_parameter():
    ranking = SpatialRanking([24, 25, 26])
    scores = ranking(torch.rand(2, 3, 9, 11).round())
    assert scores.shape == (2, 3, 9, 11)
    F.cross_entropy(scores, torch.randint(3, (2, 9, 11))).backward()
    assert all(p.grad is not None and p.grad.any() for p in ranking.parameters())


def test_it_learns_that_persons_stand_before_cars():
    torch.manual_seed(0)
    ranking = SpatialRanking([24, 26], kernel=3)
    occupied = torch.zeros(1, 2, 8, 8)
    occupied[0, 1] = 1
    occupied[0, 0, 2:6, 2:6] = 1
    # Truth without overlaps: persons where both are.
    truth = torch.ones(1, 8, 8, dtype=torch.int64)
    truth[0, 2:6, 2:6] = 0
    optimizer = torch.optim.Adam(ranking.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(ranking(occupied), truth).backward()
        optimizer.step()
    assert torch.equal(ranking(occupied).argmax(1), truth)


@pytest.mark.parametrize("kernel", [0, 4])
def test_an_even_kernel_is_refused(kernel):
    with pytest.raises(ValueError, match=f"kernel is {kernel}"):
        SpatialRanking([24], kernel)
