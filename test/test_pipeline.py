import operator
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from model_file import write, write_untrained

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.image_region import ImageRegion
from panoptic_ros.labels import class_ids
from panoptic_ros.model.predictors import upload
from panoptic_ros.pipeline import ImageUnfit, PanopticPipeline, StageClock, torch_device
from panoptic_ros.prediction import InstancePrediction, NonFinitePrediction

IMAGE = np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """Return untrained networks that see an image at 64 rows."""
    model = write_untrained(tmp_path_factory.mktemp("model") / "random.yaml")
    return PanopticPipeline.load(str(model), device="cpu")


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


def test_an_inference_is_merged_as_often_as_wanted(pipeline):
    inference = pipeline.infer(IMAGE)
    everything = FusionOptions(score_threshold=0.0, overlap_threshold=1.0, stuff_area_limit=0)
    nothing = FusionOptions(score_threshold=1.0, stuff_area_limit=10**6)
    first = pipeline.merge(inference, options=everything).panoptic
    again = pipeline.merge(inference, "stack", everything).panoptic
    assert np.array_equal(first.labels, again.labels)
    with_head = pipeline.merge(inference, "conv_head", everything).panoptic
    assert len(with_head.masks) == len(first.masks) > 0
    assert not pipeline.merge(inference, options=nothing).panoptic.labels.any()
    with pytest.raises(ValueError, match="unknown fusion 'best'"):
        pipeline.merge(inference, "best")
    # What is in use stays.
    assert pipeline.fusion_name == "stack"


def test_a_region_is_what_the_pipeline_sees_of_an_image(pipeline):
    part = pipeline.run(np.ascontiguousarray(IMAGE[32:, 16:144]))
    region = ImageRegion(x_offset=16, y_offset=32, width=128)
    whole = pipeline.run(IMAGE, region)
    for found, expected in (
        (whole.panoptic.labels, part.panoptic.labels),
        (whole.class_map(), part.class_map()),
        (whole.confidence_map(), part.confidence_map()),
    ):
        assert found.shape == (96, 160)
        np.testing.assert_array_equal(found[32:, 16:144], expected)
        outside = found.copy()
        outside[32:, 16:144] = 0
        assert not outside.any()
    with pytest.raises(ImageUnfit, match="does not lie in a picture of 100x90"):
        pipeline.run(IMAGE[:90, :100], region)


def test_images_that_are_inferred_together_give_what_each_gives_alone(pipeline):
    assert not pipeline.can_batch  # on a CPU
    wide = np.random.default_rng(1).integers(0, 256, (128, 320, 3), np.uint8)
    part = ImageRegion(x_offset=16, y_offset=32, width=160)
    found = pipeline.infer_together([IMAGE, wide], [None, part])
    alone = [pipeline.infer(IMAGE), pipeline.infer(wide, part)]
    for each, expected in zip(found, alone, strict=True):
        torch.testing.assert_close(each.semantic.logits, expected.semantic.logits)
        torch.testing.assert_close(each.instances.scores, expected.instances.scores)
        assert pipeline.merge(each).panoptic.labels.shape == expected.image_size
    with pytest.raises(ImageUnfit, match="of different sizes"):
        pipeline.infer_together([IMAGE, wide], [None, None])


@pytest.mark.parametrize("region", [None, ImageRegion(x_offset=16, y_offset=32, width=128)])
def test_an_uploaded_image_gives_what_the_image_gives(pipeline, region):
    assert not pipeline.prepares_ahead  # on a CPU
    uploaded = pipeline.upload(IMAGE, region)
    assert (uploaded.region, uploaded.image_size, uploaded.crossed) == (region, (96, 160), None)
    expected = pipeline.infer(IMAGE, region)
    for found in (pipeline.infer(uploaded), *pipeline.infer_together([uploaded, uploaded])):
        torch.testing.assert_close(found.semantic.logits, expected.semantic.logits)
        torch.testing.assert_close(found.instances.scores, expected.instances.scores)
        assert (found.region, found.image_size) == (expected.region, expected.image_size)
    labels = pipeline.run(uploaded).panoptic.labels
    np.testing.assert_array_equal(labels, pipeline.run(IMAGE, region).panoptic.labels)


@contextmanager
def damaged(values, value):
    """Overwrite parameters while the context lasts."""
    with torch.no_grad():
        before = values.clone()
        values.fill_(value)
        try:
            yield
        finally:
            values.copy_(before)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("module", "network"),
    [
        ("semantic.network", "semantic network"),
        ("instances.network.backbone", "instance network"),
        ("instances.network.rpn.head", "instance network"),
        ("instances.network.roi_heads.box_predictor", "instance network"),
        ("instances.network.roi_heads.mask_predictor", "instance network"),
    ],
)
def test_a_network_that_is_not_finite_is_refused_by_name(pipeline, module, network, value):
    """One bias of a module is damaged, as in a checkpoint or by an overflow."""
    *_, bias = operator.attrgetter(module)(pipeline.networks).parameters()
    with damaged(bias.view(-1)[-1:], value):
        inference = pipeline.infer(IMAGE)
    for strategy in ("conv_head", "stack"):
        with pytest.raises(NonFinitePrediction, match=f"the {network} gives values that are not"):
            pipeline.merge(inference, strategy, FusionOptions(score_threshold=0.0))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_head_that_is_not_finite_is_refused_by_name(pipeline, value):
    car = InstancePrediction(
        torch.tensor([[8.0, 8.0, 60.0, 60.0]]),
        torch.tensor([26]),
        torch.tensor([0.9]),
        torch.ones(1, 28, 28),
    )
    inference = replace(pipeline.infer(IMAGE), instances=car)
    with (
        damaged(pipeline.head.cnn(26).mix.bias, value),
        pytest.raises(NonFinitePrediction, match="the panoptic head gives values that are not"),
    ):
        pipeline.merge(inference, "conv_head")
    assert pipeline.merge(inference, "stack").panoptic.segments


def test_large_images_are_refused_before_anything_is_computed(pipeline):
    def never(image):
        raise AssertionError("the networks were asked")

    limited = PanopticPipeline(pipeline.networks, max_pixels=96 * 160)
    assert limited(IMAGE).labels.shape == IMAGE.shape[:2]
    networks = SimpleNamespace(device=torch.device("cpu"), upload=never)
    limited = PanopticPipeline(networks, max_pixels=96 * 160)
    for refuse in (limited.infer, limited.upload):
        with pytest.raises(ImageUnfit, match="161x96, 15456 pixels; this model takes 15360"):
            refuse(np.zeros((96, 161, 3), np.uint8))


def test_a_model_file_limits_its_images(tmp_path):
    model = write(tmp_path / "small.yaml", max_pixels=1000)
    with pytest.raises(ImageUnfit, match="raise max_pixels"):
        PanopticPipeline.load(str(model), device="cpu")(IMAGE)
    with pytest.raises(ValueError, match="max_pixels is 0"):
        PanopticPipeline.load(str(write(tmp_path / "none.yaml", max_pixels=0)), device="cpu")


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
    [IMAGE.astype(np.float32), IMAGE[..., 0], IMAGE[..., :2], IMAGE.tolist(), IMAGE[:8]],
    ids=["float", "grey", "two-channels", "list", "small"],
)
def test_what_is_no_rgb_image_is_refused(pipeline, image):
    for take in (pipeline, pipeline.upload):
        with pytest.raises(ImageUnfit, match="image"):
            take(image)


def test_an_error_of_a_network_is_not_the_images(pipeline, monkeypatch):
    def fail(pixels):
        raise ValueError("the graph does not run")

    monkeypatch.setattr(pipeline.networks.semantic.network, "forward", fail)
    with pytest.raises(ValueError, match="does not run") as error:
        pipeline(IMAGE)
    assert not isinstance(error.value, ImageUnfit)


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
    for other in ("tpu", "cuda:one", "cuda:-1", "cuda:", "cuda:1:2", "cpu:0"):
        with pytest.raises(ValueError, match=rf"'{other}'.*auto, cuda"):
            torch_device(other)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_asked_for_and_missing_says_what_to_do():
    with pytest.raises(ValueError, match="choose device cpu"):
        torch_device("cuda")


@pytest.mark.gpu
def test_the_gpu_gives_what_the_cpu_gives(pipeline, tmp_path):
    file = write_untrained(tmp_path / "random.yaml")
    file.write_text(file.read_text().replace("half: true", "half: false"))
    on_gpu = PanopticPipeline.load(str(file), device="cuda")
    expected = pipeline(IMAGE).labels
    assert (on_gpu(IMAGE).labels == expected).mean() > 0.99
    assert on_gpu.can_batch
    for inference in on_gpu.infer_together([IMAGE, IMAGE], [None] * 2):
        assert (on_gpu.merge(inference).panoptic.labels == expected).mean() > 0.99


@pytest.mark.gpu
def test_frames_that_are_uploaded_under_an_inference_are_not_mixed_up(tmp_path):
    """Fifty frames, each uploaded by a thread while the device has the one before."""
    pipeline = PanopticPipeline.load(str(write_untrained(tmp_path / "random.yaml")), device="cuda")
    assert pipeline.prepares_ahead
    images = np.random.default_rng(0).integers(0, 256, (50, 96, 160, 3), np.uint8)
    expected = torch.stack([pipeline.infer(image).semantic.logits for image in images])
    found = []
    with ThreadPoolExecutor(1) as thread:
        for uploaded in thread.map(pipeline.upload, images):
            found.append(pipeline.infer(uploaded).semantic.logits)
    assert uploaded.crossed is not None
    # Half precision varies, less than the answers of two frames.
    closest = [(expected - logits).abs().flatten(1).mean(1).argmin().item() for logits in found]
    assert closest == list(range(len(images)))


class LateNetworks:
    """Networks that a frame reaches late, and that read it late; what they have read."""

    def __init__(self, device):
        self.device, self.seen = device, []

    def upload(self, image):
        torch.cuda._sleep(20_000_000)
        return upload(image, self.device)

    def __call__(self, frame, lap):
        torch.cuda._sleep(50_000_000)
        self.seen.append(frame.clone())
        finite = torch.ones((), dtype=torch.bool, device=self.device)
        return SimpleNamespace(scores=finite[None]), SimpleNamespace(all_finite=lambda: finite)


@pytest.mark.gpu
def test_a_frame_is_read_when_it_has_crossed_and_its_memory_used_again_when_it_was_read():
    networks = LateNetworks(torch.device("cuda"))
    pipeline = PanopticPipeline(networks)
    images = np.random.default_rng(0).integers(0, 256, (50, 96, 160, 3), np.uint8)
    for image in images:
        # Nothing holds the frame when the next one is uploaded, long before it is read.
        pipeline.infer(pipeline.upload(image))
    for frame, image in zip(networks.seen, images, strict=True):
        np.testing.assert_array_equal(frame.permute(1, 2, 0).cpu().numpy(), image)


def test_torch_takes_no_more_threads_than_the_process_has_cores(tmp_path, monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.setattr("panoptic_ros.pipeline.usable_threads", lambda: 1)
    try:
        torch.set_num_threads(3)
        PanopticPipeline.load(str(write(tmp_path / "small.yaml")), device="cpu")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


def test_a_lap_is_the_time_since_the_one_before():
    clock = StageClock(torch.device("cpu"))
    time.sleep(0.02)
    clock.lap("first")
    clock.lap("second")
    times = clock.milliseconds()
    assert list(times) == ["first", "second"]
    assert times["first"] >= 20
    assert 0 <= times["second"] < times["first"]


@pytest.mark.gpu
def test_events_measure_the_gpu_not_the_launch():
    clock = StageClock(torch.device("cuda"))
    torch.cuda._sleep(50_000_000)
    clock.lap("sleep")
    assert clock.milliseconds()["sleep"] > 5
