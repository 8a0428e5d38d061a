"""The server of ``gsdd-rt watch``: one page and its document, on loopback, for whoever knows the token."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gsdd_runtime.distillation.checkpoint import checkpoint_path
from gsdd_runtime.distillation.journal import Record, read_log
from gsdd_runtime.distillation.unfinished import has_ended, set_of_checkpoint
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import log_path
from gsdd_runtime.reports.page import Shown, page_html, run_page_document
from gsdd_runtime.sets.distilled_set import DistilledSet

HOST = "127.0.0.1"
STATE = "state.json"


class RunView:
    """What there is to see of the run that writes the set ``out``, read anew where its files changed."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._lock = threading.Lock()
        self._seen: Any = None
        self._document: dict[str, Any] = {}

    def check(self) -> None:
        """Raises InputError where there is no run to watch."""
        log = log_path(self.out)
        if not log.is_file():
            raise InputError(f"{log} is not there: give the --out of a run of gsdd-rt distill that has begun")
        if self.ended():
            raise InputError(
                f"the run of {self.out} has ended: gsdd-rt report {self.out} --out report.html shows what it came to"
            )

    def ended(self) -> bool:
        try:
            return has_ended(read_log(log_path(self.out)), self.out)
        except InputError:
            return True

    @property
    def name(self) -> str:
        """Of the run, for people."""
        return self.out.name.removesuffix(".safetensors")

    def records(self) -> list[Record]:
        """Of the run's log as it is now; none where it cannot be read."""
        try:
            return read_log(log_path(self.out))
        except InputError:
            return []

    def document(self) -> dict[str, Any]:
        """The document of the page."""
        with self._lock:
            ended = self.ended()
            places = [log_path(self.out), checkpoint_path(self.out), self.out]
            seen = (ended, *map(_stamp, places))
            if seen != self._seen:
                self._document = self._read(ended)
                self._seen = seen
            return self._document

    def _read(self, ended: bool) -> dict[str, Any]:
        records = self.records()
        finished = bool(records) and records[-1]["record"] == "end"
        distilled = _loaded(self.out) if finished else set_of_checkpoint(checkpoint_path(self.out), records)
        size = _stamp(self.out)[1] if finished else None
        shown = None if distilled is None else Shown(self.out.name, distilled, size, records)
        return run_page_document(self.name, records, shown, ended=ended)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _loaded(path: Path) -> DistilledSet | None:
    try:
        return DistilledSet.load(path)
    except InputError:
        return None


class WatchServer:
    """Serves a run's page at :attr:`address` until the block ends.

    Args:
        view: of the run.
        port: 0 for any that is free.

    Attributes:
        address: with the token, which is drawn anew each time.
        told_end: whether a page was told that the run has ended.

    Raises:
        InputError: the port is taken.
    """

    def __init__(self, view: RunView, port: int = 0) -> None:
        self.view = view
        self.token = secrets.token_urlsafe(24)
        self.told_end = False
        try:
            self._server = ThreadingHTTPServer((HOST, port), _handler(self))
        except OSError as error:
            raise InputError(
                f"--port: {port} cannot be had ({error.strerror}): choose another, or leave it out"
            ) from error
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.address = f"http://{HOST}:{self.port}/{self.token}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    def __enter__(self) -> WatchServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, host: str, known: str | None) -> tuple[int, str, bytes, str]:
        """Status, kind, content and tag of what is asked for.

        ``host`` is what the browser takes this machine for: a name of somebody else's that leads here is refused.
        ``known`` is the tag of the document that the page has.
        """
        token, _, rest = path.removeprefix("/").partition("/")
        trusted = host in (f"{HOST}:{self.port}", f"localhost:{self.port}")
        if not trusted or not hmac.compare_digest(token.encode(), self.token.encode()):
            return 403, "text/plain; charset=utf-8", b"gsdd-rt watch: open the whole address that it printed\n", ""
        if rest not in ("", STATE):
            return 404, "text/plain; charset=utf-8", b"gsdd-rt watch: there is no such page\n", ""
        document = self.view.document()
        if rest == "":
            return 200, "text/html; charset=utf-8", page_html(document, follow=STATE).encode(), ""
        content = json.dumps(document, allow_nan=False).encode()
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        self.told_end = self.told_end or document["ended"]
        if known == tag:
            return 304, "application/json", b"", tag
        return 200, "application/json", content, tag


def _handler(server: WatchServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "gsdd-rt", ""

        def do_GET(self) -> None:
            headers = self.headers
            status, kind, content, tag = server.answer(self.path, headers.get("Host", ""), headers.get("If-None-Match"))
            self.send_response(status)
            told = {"Content-Type": kind, "Content-Length": str(len(content)), "ETag": tag, "Cache-Control": "no-store",
                    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
                    "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY"}  # fmt: skip
            for name, value in told.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler
