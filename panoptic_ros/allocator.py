"""The C library's allocator: what becomes of memory that was freed."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

# glibc's malloc.h: parameters of mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
# In bytes. The largest output of a layer of town_fast's, of a batch of 6 crops, has 72 MiB; what is
# larger than the first goes back to the system as before.
_LARGEST_BLOCK = 128 << 20
_MOST_KEPT = 512 << 20


def keep_freed_memory() -> None:
    """Let freed memory stay with this process, in one pool for all of its threads.

    For work that ends, such as a training: glibc gives blocks of more than 32 MiB back to the
    system at once, and each step asks for them anew, page by page. But what is kept becomes
    fragments, so that a process grows for longer (docs/performance.md has the figures). Call this
    before there are threads: one that has a pool of its own stays with it, and such a pool has no
    large blocks.
    Where the environment has settings of its own (MALLOC_..., GLIBC_TUNABLES), these stay. Other
    C libraries have no such setting. Source: mallopt(3).
    """
    mallopt = _of_libc("mallopt")
    if mallopt is None or any(n.startswith(("MALLOC_", "GLIBC_TUNABLES")) for n in os.environ):
        return
    mallopt(_ARENA_MAX, 1)
    mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
    mallopt(_TRIM_THRESHOLD, _MOST_KEPT)


def give_back_freed_memory() -> None:
    """Return freed memory to the system, where the C library can. Source: malloc_trim(3)."""
    malloc_trim = _of_libc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _of_libc(name: str) -> Callable[..., int] | None:
    """Return a function of glibc, None with another C library."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):  # no library is the process itself, as on Windows
        return None
