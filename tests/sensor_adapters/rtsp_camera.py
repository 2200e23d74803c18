"""A network camera: RTSP (RFC 2326) with its RTP inside the connection, MPEG-TS (RFC 2250).

It plays a transport stream at its pace to everybody who asks, from the beginning, and wants a name
and a password if it was given some.
"""

import base64
import contextlib
import socket
import socketserver
import struct
import threading
import time
from pathlib import Path

PACKET = 7 * 188  # bytes of MPEG-TS in an RTP packet
MP2T = 33


class RtspCamera:
    """One that can be unplugged and plugged in again; ``with`` it, it is on."""

    def __init__(self, stream: Path, seconds: float, *, who: str = "") -> None:
        """Take what it shows, how long that lasts, and ``name:password``."""
        self._data, self._seconds, self._who = stream.read_bytes(), seconds, who
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = int(one.getsockname()[1])
        self._off = threading.Event()
        self._server: socketserver.ThreadingTCPServer | None = None
        self.turned_away = 0

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/stream"

    def plug(self) -> None:
        camera = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    camera._serve(self.rfile, self.connection)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads = True, True

        self._off = threading.Event()
        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def unplug(self) -> None:
        self._off.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> "RtspCamera":
        self.plug()
        return self

    def __exit__(self, *exc: object) -> None:
        self.unplug()

    def _serve(self, asked, connection: socket.socket) -> None:
        while request := asked.readline().decode().split():
            headers = {}
            while line := asked.readline().decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            connection.sendall(self._answer(request, headers))
            if request[0] == "PLAY":
                self._play(connection)
                return

    def _answer(self, request: list[str], headers: dict[str, str]) -> bytes:
        method, url = request[:2]
        head, body = [f"CSeq: {headers.get('cseq', 0)}"], ""
        known = "Basic " + base64.b64encode(self._who.encode()).decode()
        if self._who and method != "OPTIONS" and headers.get("authorization") != known:
            self.turned_away += 1
            head = ["RTSP/1.0 401 Unauthorized", *head, 'WWW-Authenticate: Basic realm="camera"']
            return ("\r\n".join(head) + "\r\n\r\n").encode()
        if method == "OPTIONS":
            head.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        elif method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
                f"m=video 0 RTP/AVP {MP2T}\r\na=control:track\r\n"
            )
            head += [f"Content-Base: {url}/", "Content-Type: application/sdp"]
            head.append(f"Content-Length: {len(body)}")
        elif method == "SETUP":
            head += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1"]
        else:
            head.append("Session: 1")
        return ("\r\n".join(["RTSP/1.0 200 OK", *head]) + f"\r\n\r\n{body}").encode()

    def _play(self, connection: socket.socket) -> None:
        packets = [self._data[i : i + PACKET] for i in range(0, len(self._data), PACKET)]
        start_s, off = time.monotonic(), self._off
        for i, packet in enumerate(packets):
            at_s = i * self._seconds / len(packets)
            if off.wait(max(0.0, start_s + at_s - time.monotonic())):
                break
            rtp = struct.pack(">BBHII", 0x80, MP2T, i & 0xFFFF, int(at_s * 90_000), 1) + packet
            connection.sendall(b"$" + struct.pack(">BH", 0, len(rtp)) + rtp)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
