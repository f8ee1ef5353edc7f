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
from pathlib import Path
from typing import IO, Any

from panoptic_ros.documents import mapping

_END_SECONDS = 5.0
_LOG_LINES = 15
_PR_SET_PDEATHSIG = 1


class DemoError(RuntimeError):
    """Say why there is nothing to show."""


class Children:
    """Run modules of the package as processes that never end before this one, nor after it.

    Each writes its log to LOGS/NAME.log. Some report: one JSON object per line on their
    standard output, with a key `event`.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._processes: dict[str, subprocess.Popen] = {}
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGINT)
        for process in self._processes.values():
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, module: str, *arguments: str, reports: bool = False) -> None:
        """Start `python -m module arguments`."""
        self._log(name).unlink(missing_ok=True)
        with self._log(name).open("ab") as output:
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
        self._processes[name] = process
        if reports:
            threading.Thread(target=self._listen, args=(name, process.stdout), daemon=True).start()

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

    def _listen(self, name: str, output: IO[bytes]) -> None:
        for line in output:
            try:
                event = dict(mapping(json.loads(line), name))
            except ValueError:  # A library prints, too.
                with self._log(name).open("ab") as log:
                    log.write(line)
            else:
                self._events.put(event)

    def _check(self) -> None:
        for name, process in self._processes.items():
            code = process.poll()
            if code is not None:
                log = self._log(name)
                lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
                end = "\n".join(f"  {line}" for line in lines)
                raise DemoError(
                    f"the {name} process ended with exit code {code}; the end of {log}:\n{end}"
                )

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def _end_with_parent() -> None:
    """Ask Linux to end the child where this process is killed and cannot do it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
