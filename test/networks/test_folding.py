import pytest
import torch
from shared_network import architecture
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from panoptic_ros.networks import build
from panoptic_ros.networks.folding import fold_batch_norms

NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)
DETECTOR = {"name": "mask_rcnn", "num_classes": 8}
NETWORKS = {
    "deeplab": {"name": "deeplabv3plus_mobilenetv2", "num_classes": 19},
    "mobilenet": {**DETECTOR, "backbone": "mobilenet_v2_fpn", "fpn_channels": 32},
    "resnet": {**DETECTOR, "backbone": "resnet50_fpn", "fpn_channels": 32},
    "shared": architecture(),
}


def _measured(network):
    """Give every norm statistics that are not those of the start."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, NORMS):
            for values in (module.running_var, module.weight):
                values.data = 0.5 + torch.rand(values.shape, generator=generator)
            for values in (module.running_mean, module.bias):
                values.data = 0.1 * torch.randn(values.shape, generator=generator)
    # In double precision, so that rounding hides no mistake.
    return network.double().eval()


def _answer(name, network):
    image = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(1)).double()
    if name == "shared":
        return list(network.features(image).values())
    if name == "deeplab":
        return [network(image)]
    return list(network.backbone(image).values())


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_without_its_norms_a_network_gives_the_same(name):
    torch.manual_seed(0)
    network = _measured(build(NETWORKS[name]))
    expected = _answer(name, network)
    fold_batch_norms(network)
    assert not [m for m in network.modules() if isinstance(m, NORMS)]
    for found, wanted in zip(_answer(name, network), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)],
        [nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)],
    ],
    ids=["behind no convolution", "of each batch"],
)
def test_a_norm_that_cannot_be_folded_stays(layers):
    network = nn.Sequential(*layers).eval()
    fold_batch_norms(network)
    assert isinstance(network[-1], nn.BatchNorm2d)
