"""The one error that a camera message can cause."""

from __future__ import annotations

_LONGEST_REASON = 400


def one_line(text: str) -> str:
    """Return a text as one line of valid Unicode that is not too long for a log.

    What strangers send and libraries say may be megabytes of a name, have many lines, and bytes
    of file names that are no UTF-8.
    """
    # Cut before the costly part.
    valid = text[: 2 * _LONGEST_REASON].encode(errors="backslashreplace").decode()
    return " ".join(valid.split())[:_LONGEST_REASON]


class ImageRefused(ValueError):  # noqa: N818 - the verdict on a message, counted as "refused"
    """Say in one short line why a message cannot be turned into an image."""

    def __init__(self, reason: str) -> None:
        super().__init__(one_line(reason))
