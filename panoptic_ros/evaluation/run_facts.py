"""When, how and where a run was made, for its results and its report."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

# Not by its name: only ros/ may import the package itself, which also holds the messages.
_PACKAGE = sys.modules[__name__.partition(".")[0]]


def run_facts() -> dict[str, str]:
    """Return date, command, version, commit (of a checkout) and machine."""
    facts = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": f"python -m panoptic_ros {shlex.join(sys.argv[1:])}",
        "version": _PACKAGE.__version__,
        "commit": _commit(Path(__file__).parents[2]),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}",
    }
    return {name: text for name, text in facts.items() if text}


def _commit(root: Path) -> str:
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
