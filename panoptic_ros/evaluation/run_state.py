"""Progress of an evaluation on disk, from which the same command resumes."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from panoptic_ros.model.config import RANDOM, ModelConfig
from panoptic_ros.whole_files import append, hold


class RunState:
    """Keep one record per finished frame in FOLDER/frames.jsonl; its first line: the settings.

    records: frame name -> record, what the file held and what was added since. A line is
    written at once and whole, with a checksum; a last line that a kill cut off is dropped.
    Raise ValueError where the file belongs to other settings, to a process that still runs, is
    no such file or has a damaged line; OSError that names it where the disk is full.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "frames.jsonl"
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self.records: dict[str, dict[str, Any]] = self._take_over(dict(settings))
        except BaseException:
            os.close(self._file)
            raise

    def add(self, name: str, record: Mapping[str, Any]) -> None:
        """Keep a frame's record, what JSON can hold."""
        self._append({"name": name, "record": record, "crc32": _checksum(name, record)})
        self.records[name] = dict(record)

    def __enter__(self) -> RunState:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def _take_over(self, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
        hold(self._file, self.path)
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        os.ftruncate(self._file, len(whole))
        lines = whole.splitlines()
        if not lines:
            self._append({"settings": settings})
            return {}
        try:
            before = dict(json.loads(lines[0])["settings"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{self.path} is not an evaluation's state ({error}); choose another --out or "
                "delete it"
            ) from error
        if changed := changes(before, settings, {**before, **settings}):
            raise ValueError(
                f"{self.path} holds another evaluation: {changed}; "
                "choose another --out, or delete it to start anew"
            )
        return dict(self._record(i, line) for i, line in enumerate(lines[1:], start=2))

    def _record(self, number: int, line: bytes) -> tuple[str, dict[str, Any]]:
        """Return what a line holds of a frame."""
        try:
            entry = json.loads(line)
            name, record = entry["name"], entry["record"]
            if entry["crc32"] != _checksum(name, record):
                raise ValueError("its checksum is another")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{self.path}: line {number} is damaged ({error}); remove this line, and its frame "
                "is scored anew"
            ) from error
        return name, record

    def _append(self, entry: Mapping[str, Any]) -> None:
        append(self.path, json.dumps(entry, separators=(",", ":")) + "\n")


def changes(before: Mapping[str, Any], now: Mapping[str, Any], keys: Iterable[str]) -> str:
    """Return which of some settings are others now, as words, "" where none is."""
    return "; ".join(
        f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in keys
        if before.get(key) != now.get(key)
    )


def _checksum(name: str, record: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps([name, record]).encode())


def weight_files(config: ModelConfig) -> list[Path]:
    """Return the weights that a model names, as it names them."""
    parts = (config.semantic, config.instances, config.network, config.head, config.expert)
    return [Path(part.weights) for part in parts if part and part.weights != RANDOM]


def fingerprint(config: ModelConfig) -> str:
    """Return 16 digits of a SHA-256 over a model file's content and the weights that it names.

    A model retrained under its old name is another model.
    """
    digest = hashlib.sha256(repr(config).encode())
    for weights in weight_files(config):
        described = weights.suffix in (".yaml", ".yml")  # an ONNX file beside its description
        stem = weights.stem if described else weights.name
        for part in sorted(weights.parent.glob(f"{glob.escape(stem)}.*")):
            if part.is_file():
                digest.update(os.fsencode(part.name) + part.read_bytes())
    return digest.hexdigest()[:16]
