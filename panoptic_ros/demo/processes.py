"""The demo's processes: started, watched and ended together."""

from __future__ import annotations

import ctypes
import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_END_SECONDS = 5.0
_LOG_LINES = 15
_PR_SET_PDEATHSIG = 1


class DemoError(RuntimeError):
    """Say why there is nothing to show."""


@dataclass(frozen=True)
class _Child:
    process: subprocess.Popen
    log: Path

    def last_lines(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:])


class Children:
    """Run modules of the package as processes that never end before this one, nor after it.

    Each writes its log to LOGS/NAME.log. Some report: one JSON object per line on their
    standard output, with a key `event`.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._children: dict[str, _Child] = {}
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.process.send_signal(signal.SIGINT)
        for child in self._children.values():
            try:
                child.process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def start(self, name: str, module: str, *arguments: str, reports: bool = False) -> None:
        """Start `python -m module arguments`."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if reports else output,
                stderr=output,
                env=self._environment,
                # Ctrl-C in a terminal goes to this process alone, which ends the others.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self._children[name] = _Child(process, log)
        if reports:
            threading.Thread(target=self._listen, args=(process.stdout,), daemon=True).start()

    def events(self, timeout: float) -> Iterator[dict[str, Any]]:
        """Yield what was reported, or nothing where that takes longer than `timeout` seconds.

        Raise DemoError with the last lines of a process's log where one has ended.
        """
        try:
            yield self._events.get(timeout=timeout)
            while True:
                yield self._events.get_nowait()
        except queue.Empty:
            self._check()

    def _listen(self, output: IO[bytes]) -> None:
        for line in output:
            self._events.put(json.loads(line))

    def _check(self) -> None:
        for name, child in self._children.items():
            code = child.process.poll()
            if code is not None:
                raise DemoError(
                    f"the {name} process ended with exit code {code}; "
                    f"the end of {child.log}:\n{child.last_lines()}"
                )


def _end_with_parent() -> None:
    """Ask Linux to end the child where this process is killed and cannot do it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
