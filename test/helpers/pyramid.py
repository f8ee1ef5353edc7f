"""Feature pyramids of random numbers, and which parameters no gradient has reached."""

import torch


def pyramid(channels=32, batch=2, size=(64, 96), levels=4):
    """Return P2.. of an image of so many pixels."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(batch, channels, size[0] // s, size[1] // s, generator=generator)
        for s in (4 << i for i in range(levels))
    ]


def odd_pyramid(channels=32):
    """Return levels as strided convolutions give them for 100 x 140 pixels."""
    return [torch.randn(2, channels, h, w) for h, w in ((25, 35), (13, 18), (7, 9), (4, 5))]


def unreached(module):
    """Return the names of the parameters that no gradient has reached."""
    return [n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()]
