import numpy as np
import pytest
import torch
from model_file import write

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.labels import class_ids
from panoptic_ros.pipeline import PanopticPipeline, torch_device

IMAGE = np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8)


@pytest.fixture(scope="module")
def pipeline():
    return PanopticPipeline.load("random", device="cpu")


def test_an_image_gives_a_label_image_of_its_size(pipeline):
    prediction = pipeline(IMAGE)
    assert prediction.labels.shape == IMAGE.shape[:2]
    assert prediction.labels.dtype == np.uint16
    known = {0, *pipeline.labels.ids.tolist()}
    assert set(np.unique(class_ids(prediction.labels)).tolist()) <= known
    assert sum(s.area for s in prediction.segments) == np.count_nonzero(prediction.labels)


def test_the_same_image_gives_the_same_labels(pipeline):
    assert np.array_equal(pipeline(IMAGE).labels, pipeline(IMAGE).labels)


def test_run_returns_every_stage_and_its_time(pipeline):
    result = pipeline.run(IMAGE)
    assert result.semantic.image_size == (96, 160)
    assert result.instances.masks.shape[1:] == (28, 28)
    assert list(result.timings) == ["upload", "semantic", "instances", "fusion", "total"]
    assert all(t > 0 for t in result.timings.values())


def test_fusion_and_thresholds_change_between_frames(pipeline):
    everything = FusionOptions(score_threshold=0.0, overlap_threshold=1.0, stuff_area_limit=0)
    nothing = FusionOptions(score_threshold=1.0, stuff_area_limit=10**6)
    pipeline.set_fusion("stack", everything)
    assert pipeline(IMAGE).segments
    pipeline.set_fusion("stack", nothing)
    assert not pipeline(IMAGE).labels.any()
    with pytest.raises(ValueError, match="unknown fusion 'best'"):
        pipeline.set_fusion("best", everything)
    assert (pipeline.fusion_name, pipeline.options) == ("stack", nothing)


@pytest.mark.parametrize(
    "image",
    [IMAGE.astype(np.float32), IMAGE[..., 0], IMAGE[..., :2], IMAGE.tolist()],
    ids=["float", "grey", "two-channels", "list"],
)
def test_what_is_no_rgb_image_is_refused(pipeline, image):
    with pytest.raises(ValueError, match="image"):
        pipeline(image)


def test_a_model_without_a_head_merges_with_stack_and_says_so(tmp_path, caplog):
    model = write(tmp_path / "headless.yaml", head=None, fusion="conv_head")
    pipeline = PanopticPipeline.load(str(model), device="cpu")
    assert pipeline.fusion_name == "stack"
    assert "'headless' has no panoptic head for its networks: merging with stack" in caplog.text
    assert pipeline(IMAGE).labels.shape == IMAGE.shape[:2]
    with pytest.raises(ValueError, match="'conv_head' needs the weights of a panoptic head"):
        PanopticPipeline.load(str(model), device="cpu", fusion="conv_head")


def test_an_unknown_model_is_named():
    with pytest.raises((FileNotFoundError, ValueError), match="nowhere"):
        PanopticPipeline.load("nowhere")


def test_device_names():
    assert torch_device("cpu") == torch.device("cpu")
    assert torch_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match=r"'tpu'.*auto, cuda"):
        torch_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_asked_for_and_missing_says_what_to_do():
    with pytest.raises(ValueError, match="choose device cpu"):
        torch_device("cuda")


@pytest.mark.gpu
def test_the_gpu_gives_what_the_cpu_gives(pipeline):
    on_gpu = PanopticPipeline.load("random", device="cuda")
    same = on_gpu(IMAGE).labels == pipeline(IMAGE).labels
    assert same.mean() > 0.99
