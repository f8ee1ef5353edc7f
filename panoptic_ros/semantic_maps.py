"""Images of a semantic prediction: the class of each pixel, and how sure the network is."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from panoptic_ros.prediction import SemanticPrediction


def class_map(semantic: SemanticPrediction) -> np.ndarray:
    """Return the label id of each pixel's best class, uint8 [H, W], in host memory.

    Raise ValueError where the label set has an id beyond 255.
    """
    labels = semantic.labels
    if int(labels.ids.max()) > 255:
        raise ValueError(
            f"label set {labels.name!r} has class id {labels.ids.max()}; "
            "an 8-bit class map holds ids up to 255"
        )
    table = np.zeros(256, np.uint8)
    table[: len(labels)] = labels.ids
    return cv2.LUT(semantic.channels.cpu().numpy(), table)


@torch.no_grad()
def confidence_map(semantic: SemanticPrediction) -> np.ndarray:
    """Return each pixel's largest class probability, uint8 [H, W] (255 = 1), in host memory.

    The softmax is that of the logits at image size.
    """
    if semantic.logits.device.type == "cpu":
        probability = torch.from_numpy(_largest_probability_on_host(semantic))
    else:
        probability = semantic.upsampled().float().softmax(0).amax(0)
    return probability.mul(255).round().to(torch.uint8).cpu().numpy()


def _largest_probability_on_host(semantic: SemanticPrediction) -> np.ndarray:
    """Return the same as `upsampled().softmax(0).amax(0)`, float32 [H, W].

    Channel by channel and each upsampled twice, since [C, H, W] floats at image size
    leave the cache: 1 / sum exp(score - best score).
    """
    channels = semantic.logits.detach().float().numpy()
    height, width = semantic.image_size
    best = np.full((height, width), -np.inf, np.float32)
    total = np.zeros_like(best)
    scores = np.empty_like(best)
    for channel in channels:
        cv2.resize(channel, (width, height), dst=scores, interpolation=cv2.INTER_LINEAR)
        cv2.max(best, scores, dst=best)
    for channel in channels:
        cv2.resize(channel, (width, height), dst=scores, interpolation=cv2.INTER_LINEAR)
        cv2.subtract(scores, best, dst=scores)
        cv2.exp(scores, dst=scores)
        cv2.add(total, scores, dst=total)
    return cv2.divide(1, total, dst=total)
