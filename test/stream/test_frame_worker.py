"""The worker with the real pipeline on tiny images; only failures are injected."""

import threading

import numpy as np
import pytest
import torch
from waiting import TIMEOUT, wait_for

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.messages import ImageRefused
from panoptic_ros.model.predictors import (
    InstancePredictor,
    SemanticPredictor,
    SeparatePredictors,
)
from panoptic_ros.networks import build
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.stream import frame_worker
from panoptic_ros.stream.frame_worker import FrameWork, FrameWorker
from panoptic_ros.stream.refusals import Refusal
from panoptic_ros.stream.statistics import STAGES

SECOND = 1_000_000_000
IMAGE = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    semantic = build({"name": "deeplabv3plus_mobilenetv2", "num_classes": 19})
    instances = build(
        {
            "name": "mask_rcnn",
            "backbone": "mobilenet_v2_fpn",
            "num_classes": 8,
            "proposals": 20,
            "detections": 4,
        }
    )
    return PanopticPipeline(
        SeparatePredictors(
            SemanticPredictor(semantic, CITYSCAPES), InstancePredictor(instances, CITYSCAPES)
        ),
        options=FusionOptions(stuff_area_limit=0),
    )


class Camera:
    """Offer images to a worker and keep what it gives back."""

    def __init__(self, pipeline, decode=None):
        self.answers, self.refusals = [], []
        work = FrameWork(
            decode or self.decode, self.publish, lambda: 10 * SECOND, self.refusals.append
        )
        self.worker = FrameWorker(pipeline, work)
        self.stamp = 0

    @staticmethod
    def decode(message):
        if isinstance(message, Exception):
            raise message
        return message

    def publish(self, message, image, result):
        self.answers.append((message, image, result))

    def offer(self, message=IMAGE, stamp=None):
        self.stamp = self.stamp + 1 if stamp is None else stamp
        self.worker.offer(message, self.stamp * SECOND)

    def settled(self):
        """Wait until no frame waits; return the counts as (in, out, dropped, refused)."""
        wait_for(lambda: not self.worker.slot.counts().waiting, "the frame in the slot to settle")
        counts = self.worker.slot.counts()
        return counts.frames_in, counts.out, counts.dropped, counts.refused


@pytest.fixture
def camera(pipeline):
    camera = Camera(pipeline)
    camera.worker.resume()
    yield camera
    assert camera.worker.stop(TIMEOUT)


def test_a_frame_is_answered_with_the_pipelines_result(camera, pipeline):
    camera.offer()
    assert camera.settled() == (1, 1, 0, 0)
    [(message, image, result)] = camera.answers
    assert message is image is IMAGE
    np.testing.assert_array_equal(result.panoptic.labels, pipeline(IMAGE).labels)


def test_each_stage_is_timed(camera):
    camera.offer(stamp=4)
    camera.settled()
    # Added after the frame is settled.
    wait_for(camera.worker.statistics.rate, "a rate")
    latency = camera.worker.statistics.latency()
    assert latency["age"].p50 == 6000
    assert all(latency[stage].p50 >= 0 for stage in STAGES)
    parts = sum(latency[stage].p50 for stage in ("wait", "decode", "inference", "publish"))
    assert latency["total"].p50 == pytest.approx(parts, abs=1)


def test_a_paused_worker_publishes_nothing(camera):
    camera.worker.pause()
    camera.offer()
    assert camera.settled() == (1, 0, 1, 0)
    camera.worker.resume()
    camera.offer()
    assert camera.settled() == (2, 1, 1, 0)
    assert len(camera.answers) == 1


@pytest.mark.parametrize(
    ("message", "kind", "reason"),
    [
        (ImageRefused("zero size 0x0"), "image", "zero size 0x0"),
        (np.zeros((8, 8, 3), np.uint8), "image", "32"),
        (RuntimeError("device-side assert"), "inference", "RuntimeError: device-side assert"),
    ],
)
def test_a_bad_frame_is_refused_and_the_next_one_answered(camera, message, kind, reason):
    camera.offer(message)
    assert camera.settled() == (1, 0, 0, 1)
    [refusal] = camera.refusals
    assert refusal.kind == kind
    assert reason in refusal.reason
    assert (camera.worker.refusals.fault is not None) == (kind == "inference")
    camera.offer()
    assert camera.settled() == (2, 1, 0, 1)
    assert camera.worker.refusals.counts[kind] == 1
    assert camera.worker.refusals.fault is None


def test_a_stamp_that_goes_back_is_refused_once(camera):
    for stamp in (100, 10, 10.5, 11):
        camera.offer(stamp=stamp)
        camera.settled()
    assert camera.settled() == (4, 3, 0, 1)
    assert camera.refusals == [Refusal("stamp", "stamp went back by 90.0 s")]


def test_stamps_may_start_again_after_a_pause(camera):
    camera.offer(stamp=100)
    camera.settled()
    camera.worker.pause()
    camera.worker.resume()
    camera.offer(stamp=10)
    assert camera.settled() == (2, 2, 0, 0)


def out_of_memory(_):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_exhausted_memory_is_told_once_and_work_goes_on(camera, pipeline, monkeypatch):
    monkeypatch.setattr(frame_worker, "MEMORY_RETRY_SECONDS", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "run", out_of_memory)
        for _ in range(3):
            camera.offer()
            camera.settled()
        assert camera.worker.refusals.fault.kind == "memory"
    camera.offer()
    assert camera.settled() == (4, 1, 0, 3)
    assert camera.refusals == [
        Refusal("memory", "CUDA out of memory. Tried to allocate 2.00 GiB"),
    ]
    assert camera.worker.refusals.counts["memory"] == 3
    assert camera.worker.refusals.fault is None


def test_while_memory_is_exhausted_frames_replace_each_other(camera, pipeline, monkeypatch):
    monkeypatch.setattr(pipeline, "run", out_of_memory)
    camera.offer()
    camera.settled()
    for _ in range(5):
        camera.offer()
    counts = camera.worker.slot.counts()
    assert (counts.frames_in, counts.refused, counts.dropped, counts.waiting) == (6, 1, 4, 1)
    # Nor does the pause hold up the end.
    assert camera.worker.stop(frame_worker.MEMORY_RETRY_SECONDS / 2)


def test_stop_gives_up_on_a_frame_that_takes_too_long(pipeline):
    started, release = threading.Event(), threading.Event()

    def decode(message):
        started.set()
        assert release.wait(30)
        return message

    camera = Camera(pipeline, decode)
    camera.worker.resume()
    camera.offer()
    assert started.wait(30)
    assert not camera.worker.stop(0.05)
    release.set()
    assert camera.worker.stop(TIMEOUT)
    assert camera.settled() == (1, 0, 1, 0)
    assert camera.answers == []
