"""What systemd is told, if it started us: that we are ready, that we live, that we stop.

Protocol: sd_notify(3), one datagram of ``KEY=value`` lines to the socket in ``NOTIFY_SOCKET``.
"""

import contextlib
import socket
from collections.abc import Mapping

READY_S = 5.0
"""A board without a broker is ready, too: it was started, and keeps trying."""


class ServiceManager:
    """Who started us; nobody is told where nobody asked."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self.watchdog_s: float | None = None
        """It starts us again after so long without a sign of life."""
        if self._address and environ.get("WATCHDOG_USEC", "").isdecimal():
            self.watchdog_s = int(environ["WATCHDOG_USEC"]) / 1e6

    def say(self, **fields: str) -> None:
        """Tell it, or lose it: that it does not listen may not stop us."""
        if not self._address:
            return
        text = "\n".join(f"{name}={value}" for name, value in fields.items())
        where = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            one.sendto(text.encode(), where)
