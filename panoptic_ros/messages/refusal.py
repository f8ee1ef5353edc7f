"""The one error that a camera message can cause."""

from __future__ import annotations

# Reasons go to the log and to diagnostics, and may quote what a stranger sent: megabytes of a
# name, line breaks, halves of a surrogate pair that no UTF-8 can carry.
_LONGEST_REASON = 300


def one_line(text: str) -> str:
    """Return a text as one line of valid Unicode, cut to at most 300 characters."""
    # Cut before the costly part.
    start = text[: 4 * _LONGEST_REASON].encode("utf-8", "replace").decode()
    line = " ".join(start.split())
    if len(line) <= _LONGEST_REASON and len(text) <= 4 * _LONGEST_REASON:
        return line
    return f"{line[: _LONGEST_REASON - 1]}…"


class ImageRefused(ValueError):  # noqa: N818 - the verdict on a message, counted as "refused"
    """Say in one short line why a message cannot be turned into an image."""

    def __init__(self, reason: str) -> None:
        super().__init__(one_line(reason))
