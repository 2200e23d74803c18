"""A small HTTP server beside the loop: ``/metrics``, ``/healthz``, ``/readyz``.

It reads a snapshot that the loop leaves every few seconds and never asks the loop for anything, so
that nobody who asks can hold the board up. At most ``MOST_AT_ONCE`` are answered at once.
"""

import json
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edge.health.beats import Beats
from edge.health.metrics_page import CONTENT_TYPE, Snapshot, page

log = logging.getLogger(__name__)
MOST_AT_ONCE = 4
ASK_S = 5.0
"""A connection that says nothing for so long is closed."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], owner: "MetricsServer") -> None:
        self.owner = owner
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)
        super().__init__(address, _Handler)

    def service_actions(self) -> None:
        """Note that the server's loop has come round."""
        self.owner.moved_s = time.monotonic()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread if there is a place for one; else close."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asks may go away; the journal need not know."""
        log.debug("%s went away", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = ASK_S
    server: _Server

    def do_GET(self) -> None:
        owner = self.server.owner
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, CONTENT_TYPE, page(owner.snapshot))
        elif path in ("/healthz", "/readyz"):
            body = owner.lives() if path == "/healthz" else owner.is_ready()
            code = 200 if all(body.values()) else 503
            self._answer(code, "application/json", json.dumps(body).encode())
        else:
            self._answer(404, "text/plain", b"expected /metrics, /healthz or /readyz\n")

    def _answer(self, code: int, kind: str, content: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


class MetricsServer:
    """The server and what it may say; off where the port is 0."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.beats: Beats | None = None
        """Of all loops, to say who lives."""
        self.snapshot: Snapshot | None = None
        """The loop puts a new one here; it never changes one."""
        self.moved_s = 0.0
        self.failed: list[str] = []
        """Why nobody can ask, where somebody should."""

    @property
    def is_on(self) -> bool:
        """Does it listen?"""
        return self._server is not None

    def moved(self) -> float | None:
        """Return when its loop last came round; None: it is no more."""
        if self._thread is None:
            return time.monotonic()
        return self.moved_s if self._thread.is_alive() else None

    def start(self) -> None:
        """Listen, if there is a port. A port that is taken does not stop the board."""
        if not self._address[1]:
            return
        host, port = self._address
        try:
            self._server = _Server(self._address, self)
        except (OSError, socket.gaierror) as error:
            text = f"metrics can not be asked for at {host}:{port} ({error}): change metrics.port"
            log.warning("%s", text)
            self.failed = [text]
            return
        self.moved_s = time.monotonic()
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def lives(self) -> dict[str, bool]:
        """Return which loops move."""
        standing = self.beats.standing(time.monotonic()) if self.beats else []
        return {name: name not in standing for name in (self.beats.names if self.beats else [])}

    def is_ready(self) -> dict[str, bool]:
        """Return what the board can do its work with."""
        if self.snapshot is None:
            return {"started": False}
        body = self.snapshot.body
        stations = {name.split("/")[0] for name in body["devices"]}
        heard = {
            n.split("/")[0] for n, s in body["devices"].items() if s["state"] in ("ok", "late")
        }
        return {
            "broker": bool(body["connected"]),
            "log": body["disk"]["database_bytes"] > 0,
            "models": bool(body["models"]),
            "streams": stations == heard,
        }
