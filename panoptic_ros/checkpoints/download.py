"""Fetch a file over HTTP: resumed where it was cut, and whole or not at all."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import requests
from tqdm import tqdm

from panoptic_ros.checkpoints.weights_file import digest_of
from panoptic_ros.whole_files import is_full, write_file

# What a broken connection loses of the last chunk is fetched again.
CHUNK = 1 << 16
CONNECT_SECONDS, READ_SECONDS = 10, 60
# A server that cuts each connection still gives its file, piece by piece.
ATTEMPTS = 5


class DownloadError(OSError):
    """Say why a download failed; the part that arrived stays for the next attempt."""


def download(url: str, file: Path, digest: str = "", algorithm: str = "sha256") -> None:
    """Download a URL to a file, with a progress bar.

    It grows as FILE.part and takes its name when it is whole and its hash begins with
    `digest` (empty: any). A part that an earlier call left is continued (RFC 9110, Range),
    if the server's copy is still the one that the part is of (If-Range, or the hash).
    Raise DownloadError: server not reached, an answer that is not the file, cut again and
    again, disk full; ValueError: the hash is another one, the file is then deleted.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(file, has_hash=bool(digest))
    for attempt in range(ATTEMPTS):
        before = part.size()
        if _continue(url, part):
            break
        # Give up after the last attempt, and where the server gives nothing any more.
        if attempt == ATTEMPTS - 1 or part.size() <= before:
            raise DownloadError(
                f"{url} was cut after {part.size()} bytes; run the same command again to go on"
            )
    _check_hash(part, digest, algorithm, url)
    part.finish(file)


def _check_hash(part: _Part, digest: str, algorithm: str, url: str) -> None:
    found = digest_of(part.path, algorithm)
    if not found.startswith(digest):
        part.clear()
        raise ValueError(
            f"{url} is not the file that was published: its SHA-{algorithm[3:]} begins with "
            f"{found[: len(digest)]}, not with {digest}; it was deleted unopened"
        )


class _Part:
    """The file that grows, and beside it the server's validator (ETag) of what it is a part of."""

    def __init__(self, file: Path, has_hash: bool) -> None:
        self.path = file.with_name(f"{file.name}.part")
        self._tag = file.with_name(f"{file.name}.part.etag")
        self._has_hash = has_hash

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def headers(self) -> dict[str, str]:
        """Ask for the rest, where it can be told that it is the rest of the same file."""
        # Compressed transfer would make offsets meaningless.
        headers = {"Accept-Encoding": "identity"}
        tag = self._tag.read_text() if self._tag.exists() else ""
        if self.size() and (tag or self._has_hash):
            headers["Range"] = f"bytes={self.size()}-"
            if tag:
                headers["If-Range"] = tag
        return headers

    def remember(self, tag: str | None) -> None:
        # Weak validators do not promise the same bytes (RFC 9110, 8.8.1).
        write_file(self._tag, tag if tag and not tag.startswith("W/") else "")

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)

    def finish(self, file: Path) -> None:
        self.path.replace(file)
        self._tag.unlink(missing_ok=True)


def _continue(url: str, part: _Part) -> bool:
    """Fetch what is missing; return whether the file is whole now."""
    with closing(_open(url, part)) as answer:
        resumed = answer.status_code == requests.codes.partial_content
        if not resumed:
            part.remember(answer.headers.get("ETag"))
        start = part.size() if resumed else 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        try:
            _write(answer, part, start, total)
        except requests.RequestException:
            return False
    return total is None or part.size() == total


def _open(url: str, part: _Part) -> requests.Response:
    """Begin a transfer; raise DownloadError for an answer that is neither the file nor its rest."""

    def ask() -> requests.Response:
        times = (CONNECT_SECONDS, READ_SECONDS)
        try:
            return requests.get(url, headers=part.headers(), stream=True, timeout=times)
        except requests.RequestException as error:
            raise DownloadError(f"{url} cannot be reached: {error}") from error

    answer = ask()
    begin = answer.headers.get("Content-Range", "")
    misplaced = answer.status_code == requests.codes.partial_content and not begin.startswith(
        f"bytes {part.size()}-"
    )
    if answer.status_code == requests.codes.requested_range_not_satisfiable or misplaced:
        # The part is not of this file.
        answer.close()
        part.clear()
        answer = ask()
    if answer.status_code not in (requests.codes.ok, requests.codes.partial_content):
        answer.close()
        raise DownloadError(f"{url}: the server answers {answer.status_code} {answer.reason}")
    return answer


def _write(answer: requests.Response, part: _Part, start: int, total: int | None) -> None:
    mode = "ab" if start else "wb"
    bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.path.stem)
    try:
        with bar, part.path.open(mode) as file:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    except OSError as error:
        if not is_full(error):
            raise
        need = f" of {total / 1e6:.0f} MB" if total else ""
        raise DownloadError(
            f"{part.path.parent} is full after {part.size() / 1e6:.0f} MB{need}; make room and run "
            "the same command again, it goes on from there"
        ) from error
