"""Where a step of torch's goes from one device to another, which a CUDA graph cannot hold."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Crossings(TorchDispatchMode):
    """Note the operators that move something between a device and the host."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, torch.Tensor)]
        # A single number of the host's is an argument of the device's kernel.
        if len({t.device.type for t in tensors if t.ndim}) > 1:
            self.found.append(str(func))
        return out
