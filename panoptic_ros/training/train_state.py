"""The training state on disk: written atomically, found again after a kill."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from panoptic_ros.whole_files import replacing

LAST = "last.pt"


def save_state(run: Path, state: dict[str, Any]) -> None:
    """Write a run's state so that a kill at any moment leaves the old or the new one whole.

    state: tensors, numbers, strings and containers of them. Raise OSError that names the file.
    """
    with replacing(run / LAST) as file:
        torch.save(state, file)


def load_state(run: Path) -> dict[str, Any] | None:
    """Return a run's last state on the CPU, or None where there is none yet.

    Nothing in the file is executed. Raises ValueError, naming it, for an unreadable file.
    """
    path = run / LAST
    if not path.is_file():
        return None
    try:
        # torch does not compare the checksums that it writes.
        with zipfile.ZipFile(path) as archive:
            if part := archive.testzip():
                raise ValueError(f"{part} is damaged")
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of a damaged file torch raises whatever its bytes lead to
        raise ValueError(
            f"{path} is no readable training state ({error}); remove it to start anew"
        ) from error
