"""A CUDA graph of networks without a device."""

from panoptic_ros.model.onnx import writer
from panoptic_ros.networks.static import StaticInstances


class RunAtOnce:
    """Stand for a captured graph where there is no device: run the module at each call."""

    final = True

    def __init__(self, networks, size, half):
        self.module, _ = writer.static(networks, size, unasked=True)

    def __call__(self, pixels):
        logits, *found = self.module(pixels[None])
        return logits, StaticInstances(*found), self.module.is_final & self.final
