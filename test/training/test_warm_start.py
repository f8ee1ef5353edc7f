import hashlib

import folded_file
import pytest
import torch
from folded_file import DETECTOR, SEMANTIC
from shared_network import architecture
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from panoptic_ros.checkpoints import read_side_file, save
from panoptic_ros.networks import build
from panoptic_ros.training.folded_mobilenet import read_folded
from panoptic_ros.training.warm_start import warm_start

SAMPLES = [(torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8), None) for _ in range(16)]


def saved(architecture, path):
    """Return a random network and the path without suffix that it was saved to."""
    torch.manual_seed(1)
    network = build(architecture)
    save(
        network,
        path,
        architecture=architecture,
        label_set="cityscapes",
        command="the command",
        data="",
        seed=1,
        scores={},
    )
    return network, str(path)


@pytest.fixture(scope="module")
def semantic(tmp_path_factory):
    return saved(SEMANTIC, tmp_path_factory.mktemp("weights") / "semantic")


def test_a_network_for_other_classes_takes_all_but_its_last_layer(semantic):
    source, path = semantic
    target = build({**SEMANTIC, "num_classes": 5})
    last = target.classifier.classifier[-1].weight.clone()
    warm_start(target, path)
    ours, theirs = target.state_dict(), source.state_dict()
    different = {k for k in ours if ours[k].shape != theirs[k].shape}
    assert different == {"classifier.classifier.3.weight", "classifier.classifier.3.bias"}
    assert all(torch.equal(ours[k], theirs[k]) for k in ours.keys() - different)
    assert torch.equal(target.classifier.classifier[-1].weight, last)


def test_a_detector_takes_the_semantic_network_s_backbone(semantic):
    source, path = semantic
    target = build(DETECTOR)
    notes = warm_start(target, path)
    assert notes["initial"]["origin"] == "weights of this package, semantic: the command"
    assert notes["initial"]["sha256"] == read_side_file(path)["sha256"]
    ours = list(target.backbone.body.state_dict().values())
    theirs = list(source.backbone.state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("start", ["detector", "shared"])
def test_detector_and_shared_network_take_all_of_each_other(tmp_path, start):
    settings = {k: v for k, v in DETECTOR.items() if k not in ("num_classes", "fpn_channels")}
    backbone = settings.pop("backbone")
    sizes = {"things": DETECTOR["num_classes"], "channels": DETECTOR["fpn_channels"]}
    detector = DETECTOR
    shared = {**architecture(settings, **sizes), "backbone": backbone}
    first, second = (detector, shared) if start == "detector" else (shared, detector)
    source, path = saved(first, tmp_path / "start")
    target = build(second)
    warm_start(target, path)
    for part in ("backbone", "rpn", "roi_heads"):
        ours, theirs = (
            getattr(n if part == "backbone" else getattr(n, "instances", n), part).state_dict()
            for n in (target, source)
        )
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_another_backbone_takes_nothing_and_says_so(semantic):
    _, path = semantic
    target = build({**DETECTOR, "backbone": "resnet50_fpn"})
    with pytest.raises(ValueError, match=r"nothing in .* fits: DeepLabV3Plus to MaskRCNNDetector"):
        warm_start(target, path)


def test_no_path_changes_nothing():
    network = torch.nn.Linear(2, 2)
    before = network.weight.clone()
    assert warm_start(network, "") == {}
    assert torch.equal(network.weight, before)


def test_several_starts_lie_over_each_other(semantic, tmp_path):
    source, path = semantic
    detector, detector_path = saved(DETECTOR, tmp_path / "instance")
    target = build(DETECTOR)
    notes = warm_start(target, f"{detector_path}, {path}")
    origins = [note["origin"] for note in notes["initial"]]
    assert origins == [
        f"weights of this package, {n}: the command" for n in ("instance", "semantic")
    ]
    ours, theirs = target.state_dict(), detector.state_dict()
    stages = [name for name in ours if name.startswith(("rpn.", "roi_heads."))]
    assert stages
    assert all(torch.equal(ours[name], theirs[name]) for name in stages)
    body = list(target.backbone.body.state_dict().values())
    assert all(map(torch.equal, body, source.backbone.state_dict().values()))


@pytest.mark.parametrize("architecture", [SEMANTIC, DETECTOR])
def test_a_folded_file_goes_into_the_backbone_and_is_named(architecture, tmp_path):
    path = folded_file.write(tmp_path / "mobilenet.safetensors")
    network = build(architecture)
    notes = warm_start(network, str(path), SAMPLES)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert notes["initial"] == {
        "origin": "mobilenet.safetensors",
        "licence": "unknown",
        "sha256": digest,
    }
    weights = [t for name, t in network.state_dict().items() if name.startswith("backbone.")]
    # The second convolution; the stem's is scaled.
    expected = read_folded(path)[1][0]
    assert any(w.shape == expected.shape and torch.equal(w, expected) for w in weights)


def test_imagenet_takes_what_torchvision_publishes(monkeypatch):
    torch.manual_seed(2)
    published = mobilenet_v2()
    monkeypatch.setattr(
        MobileNet_V2_Weights, "get_state_dict", lambda self, **_: published.state_dict()
    )
    network = build({**DETECTOR, "norm": "frozen"})
    notes = warm_start(network, "imagenet")
    assert notes["initial"]["licence"] == "BSD-3-Clause"
    theirs = published.features.state_dict()
    ours = network.backbone.body.state_dict()
    assert torch.equal(ours["17.conv.3.running_var"], theirs["17.conv.3.running_var"])
    assert torch.equal(ours["0.0.weight"], theirs["0.0.weight"])
    assert "18.0.weight" not in ours


def test_imagenet_without_a_network_says_what_to_give(monkeypatch):
    def fail(self, **_):
        raise OSError("unreachable")

    monkeypatch.setattr(MobileNet_V2_Weights, "get_state_dict", fail)
    with pytest.raises(OSError, match=r"(?s)mobilenet_v2-.*\.pth cannot be .*as a file"):
        warm_start(build(SEMANTIC), "imagenet")


def test_a_network_without_a_backbone_takes_no_imagenet(tmp_path):
    path = folded_file.write(tmp_path / "mobilenet.safetensors")
    with pytest.raises(ValueError, match="Linear has no backbone"):
        warm_start(torch.nn.Linear(2, 2), str(path))
