"""What a training tells: progress bar, CSV and TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm


class TrainingLog:
    """Write losses and scores under a run's folder, and show progress with the time left.

    losses.csv and scores.csv hold one row per entry; a resumed run drops the rows that
    lie after its checkpoint, for it will write them again.
    """

    def __init__(self, run: Path, first_step: int, steps: int) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self._run = run
        for name in ("losses", "scores"):
            _cut(self._path(name), first_step)
        self._board = SummaryWriter(run / "tensorboard", purge_step=first_step or None)
        self._bar = tqdm(total=steps, initial=first_step, unit="step", dynamic_ncols=True)

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        self._board.close()

    def advance(self) -> None:
        """Count one step."""
        self._bar.update()

    def losses(self, step: int, values: Mapping[str, float]) -> None:
        """Record the losses (and the learning rate) after a number of steps."""
        shown = {k: f"{v:.3f}" for k, v in values.items() if k != "lr"}
        self._bar.set_postfix(shown, refresh=False)
        self._write("losses", step, values)

    def scores(self, step: int, values: Mapping[str, float]) -> None:
        """Record validation scores, in percent, after a number of steps."""
        self._bar.write(f"step {step}: " + ", ".join(f"{k} {v:.2f}" for k, v in values.items()))
        self._write("scores", step, values)

    def _path(self, name: str) -> Path:
        return self._run / f"{name}.csv"

    def _write(self, name: str, step: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._board.add_scalar(f"{name}/{key}", value, step)
        path = self._path(name)
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", *values])
            writer.writerow([step, *(f"{v:.6g}" for v in values.values())])


def _cut(path: Path, last_step: int) -> None:
    """Remove the rows after a step, and a last row that a kill left incomplete."""
    if not path.exists():
        return
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    kept = rows[:1] + [
        r for r in rows[1:] if len(r) == len(rows[0]) and r[0].isdigit() and int(r[0]) <= last_step
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(kept)
