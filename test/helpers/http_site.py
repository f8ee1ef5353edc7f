"""A local HTTP server that misbehaves as told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Site:
    """Say what is served and how.

    cut_after: bytes of each answer's body that are sent before the connection is closed;
    0: all. ranges: whether Range is honoured. requests: each request's headers. others: content
    of addresses with other suffixes.
    """

    content: bytes
    etag: str = '"v1"'
    status: int = 200
    cut_after: int = 0
    ranges: bool = True
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    others: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve a site on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.requests.append(dict(self.headers))
            if site.status != 200:
                self.send_error(site.status)
                return
            begin = self._begin()
            content = site.others.get(Path(self.path).suffix, site.content)
            if begin >= len(content):
                self.send_error(416)
                return
            body = content[begin:]
            self.send_response(206 if begin else 200)
            if begin:
                end = len(content)
                self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{end}")
            self.send_header("Content-Length", str(len(body)))
            if site.etag:
                self.send_header("ETag", site.etag)
            self.end_headers()
            # Whoever asked may have been killed.
            with suppress(ConnectionError):
                self.wfile.write(body[: site.cut_after or None])

        def _begin(self) -> int:
            wanted = self.headers.get("Range")
            same = self.headers.get("If-Range", site.etag) == site.etag
            if not (wanted and site.ranges and same):
                return 0
            return int(wanted.removeprefix("bytes=").removesuffix("-"))

        def log_message(self, *args: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}/model.pth"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
