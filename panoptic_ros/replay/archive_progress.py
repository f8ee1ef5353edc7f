"""Show how far an archive's replay is: a bar for the whole, and one for each bag in work."""

from __future__ import annotations

import sys

from tqdm import tqdm

from panoptic_ros.distributed import Event


class ArchiveProgress:
    """Show events of `run_jobs` on stderr; where that is no terminal, a line per bag."""

    def __init__(self, bags: int, done: int) -> None:
        self._whole = tqdm(total=bags, initial=done, desc="replaying", unit="bag")
        self._bars: dict[str, tqdm] = {}
        self._frames = 0

    def __enter__(self) -> ArchiveProgress:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in self._bars.values():
            bar.close()
        self._whole.close()

    def show(self, event: Event) -> None:
        """Show what became of a bag."""
        if event.kind == "progress":
            self._advance(event.of, *event.content)
            return
        bar = self._bars.pop(event.of, None)
        if bar is not None:
            bar.close()
        if event.kind == "died":
            self._say(f"{event.of}: taken up again, {event.content}")
            return
        if event.kind == "done":
            replay = event.content["replay"]
            self._frames += replay["frames"]
            problems = f", {len(replay['problems'])} problems" if replay["problems"] else ""
            self._say(f"{event.of}: {replay['frames']} frames{problems}")
        else:
            self._say(f"{event.of}: broken: {event.content}")
        seconds = self._whole.format_dict["elapsed"]
        self._whole.set_postfix_str(f"{self._frames / max(seconds, 1e-9):.1f} frames/s", False)
        self._whole.update()

    def _advance(self, name: str, done: int, of: int) -> None:
        if name not in self._bars:
            # None: no bars that move where there is no terminal.
            self._bars[name] = tqdm(desc=name, unit="frame", leave=False, disable=None)
        bar = self._bars[name]
        bar.total = of
        bar.update(done - bar.n)

    def _say(self, text: str) -> None:
        self._whole.write(text, file=sys.stderr)
