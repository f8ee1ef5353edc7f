"""What a training tells: progress bar, CSV, TensorBoard and accelerate's trackers."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from panoptic_ros.whole_files import append, is_full, naming, write_file


class TrainingLog:
    """Write losses and scores under a run's folder, and show progress with the time left.

    losses.csv and scores.csv hold one row per entry, empty where a column has no value; a
    column that comes later is added to all rows. A resumed run drops the rows that lie after
    its checkpoint, for it will write them again. steps: None where the clock
    ends the training; track: takes values and their step, as accelerate's `log`. Raise OSError
    where a file cannot be written.
    """

    def __init__(
        self,
        run: Path,
        first_step: int,
        steps: int | None,
        track: Callable[[dict[str, float], int], None] = lambda *_: None,
    ) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self._tables = {n: _Table(run / f"{n}.csv", first_step) for n in ("losses", "scores")}
        self._track = track
        self._board_folder = run / "tensorboard"
        with naming(self._board_folder):
            self._board = SummaryWriter(self._board_folder, purge_step=first_step or None)
        self._full: BaseException | None = None
        self._bar = tqdm(total=steps, initial=first_step, unit="step", dynamic_ncols=True)

    def __enter__(self) -> TrainingLog:
        # TensorBoard's thread keeps its error for the next call. After its last one there is none.
        threading.excepthook = self._on_thread_end
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        try:
            with naming(self._board_folder):
                self._board.close()
                if self._full is not None:
                    raise self._full
        finally:
            threading.excepthook = threading.__excepthook__

    def advance(self) -> None:
        """Count one step."""
        self._bar.update()

    def losses(self, step: int, values: Mapping[str, Tensor | float]) -> None:
        """Record the losses (and the learning rate) after a number of steps."""
        numbers = {k: float(v) for k, v in values.items()}
        shown = {k: f"{v:.3f}" for k, v in numbers.items() if k != "lr"}
        self._bar.set_postfix(shown, refresh=False)
        self._write("losses", step, numbers)

    def scores(self, step: int, values: Mapping[str, float]) -> None:
        """Record validation scores, in percent, after a number of steps."""
        self._bar.write(f"step {step}: " + ", ".join(f"{k} {v:.2f}" for k, v in values.items()))
        self._write("scores", step, values)

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Show pictures, uint8 [H, W, 3], RGB, after a number of steps; in TensorBoard only."""
        for name, picture in pictures.items():
            with naming(self._board_folder):
                self._board.add_image(f"samples/{name}", picture, step, dataformats="HWC")

    def _on_thread_end(self, error: threading.ExceptHookArgs) -> None:
        if is_full(error.exc_value):
            self._full = error.exc_value
        else:
            threading.__excepthook__(error)

    def _write(self, name: str, step: int, values: Mapping[str, float]) -> None:
        self._track({f"{name}/{key}": value for key, value in values.items()}, step)
        for key, value in values.items():
            with naming(self._board_folder):
                self._board.add_scalar(f"{name}/{key}", value, step)
        row = {key: f"{value:.6g}" for key, value in values.items()}
        self._tables[name].add({"step": str(step), **row})


class _Table:
    """A CSV file whose columns may become more."""

    def __init__(self, path: Path, last_step: int) -> None:
        """Go on with a file after a step; a last row that a kill left incomplete is dropped.

        Raise ValueError that names a file that is no such table.
        """
        self._path = path
        self._columns = ["step"]
        self._rows: list[dict[str, str]] = []
        if not path.exists():
            return
        whole, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
        try:
            table = csv.DictReader(io.StringIO(whole))
            if (first := next(iter(table.fieldnames or ["step"]))) != "step":
                raise ValueError(f"its first column is {first[:40]!r}, not step")
            for row in table:
                self._columns = [key for key in row if key]
                if (row.get("step") or "").isdigit() and int(row["step"]) <= last_step:
                    self._rows.append({key: row[key] or "" for key in self._columns})
        except (csv.Error, ValueError) as error:
            raise ValueError(f"{path} is no table of a training ({error}); remove it") from error
        self._rewrite()

    def add(self, row: dict[str, str]) -> None:
        """Write a row."""
        new = [key for key in row if key not in self._columns]
        self._rows.append(row)
        if new or not self._path.exists():
            self._columns += new
            self._rewrite()
        else:
            append(self._path, self._text([row]))

    def _rewrite(self) -> None:
        header = dict(zip(self._columns, self._columns, strict=True))
        write_file(self._path, self._text([header, *self._rows]))

    def _text(self, rows: list[dict[str, str]]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self._columns, restval="", lineterminator="\n").writerows(rows)
        return text.getvalue()
