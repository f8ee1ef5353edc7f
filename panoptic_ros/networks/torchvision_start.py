"""Load torchvision without torch.compile's machinery, half of what loading both took.

torchvision.ops asks `torch._dynamo`, which brings 800 modules, for one function, and calls it only
where deterministic algorithms are on, on a GPU. Import this before torchvision.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from types import ModuleType
from typing import Any

_NAME = "torch._dynamo.utils"


def _load() -> ModuleType:
    if sys.modules.get(_NAME) is _stand_in:
        del sys.modules[_NAME]
    return importlib.import_module(_NAME)


def _is_compile_supported(device_type: str) -> bool:
    return bool(_load().is_compile_supported(device_type))


def _other(name: str) -> Any:
    """Return what else is asked for, by another torchvision."""
    if name.startswith("__"):  # by who looks through all modules
        raise AttributeError(name)
    return getattr(_load(), name)


_stand_in = ModuleType(_NAME)
_stand_in.__dict__.update(is_compile_supported=_is_compile_supported, __getattr__=_other)

if _NAME not in sys.modules:
    # torch._dynamo would have loaded triton. Where that comes later than EGL's software renderer,
    # its LLVM meets the renderer's, and the process ends.
    with suppress(ImportError):
        importlib.import_module("triton")
    sys.modules[_NAME] = _stand_in
    try:
        import torchvision  # noqa: F401
    finally:
        if sys.modules.get(_NAME) is _stand_in:
            del sys.modules[_NAME]
