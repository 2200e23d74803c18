"""The gate to pyserial: one port that is opened again whenever it comes back.

pyserial raises two families of errors for one thing, a port that is gone; here it is ``PortGone``.
"""

from contextlib import suppress
from typing import Any

import serial

WAIT_S = 0.05
MOST_READ = 65_536


class PortGone(Exception):
    """The port can not be opened, or went away; the text says why."""


class SerialPort:
    """One open port."""

    def __init__(self, path: str, baud: int, *, resets: bool) -> None:
        """Open it for us alone.

        Args:
            path: of the device, or a URL that pyserial knows.
            baud: rate; what is no serial line ignores it.
            resets: raise DTR, which starts some boards anew.

        Raises:
            PortGone: it is not there, not ours to open, or somebody else has it.
        """
        port: Any = None
        try:
            port = serial.serial_for_url(path, do_not_open=True)
            port.baudrate, port.timeout, port.write_timeout = baud, WAIT_S, 1.0
            if "://" not in path:
                port.exclusive = True
                port.dtr = resets
            port.open()
        except (OSError, serial.SerialException, ValueError) as error:
            with suppress(Exception):
                port.close()
            raise PortGone(str(error)) from error
        self._port = port

    def read(self) -> bytes:
        """Return what has come; wait a moment where nothing has.

        Raises:
            PortGone: it went away.
        """
        try:
            first: bytes = self._port.read(1)
            if not first:
                return b""
            rest: bytes = self._port.read(min(self._port.in_waiting, MOST_READ))
        except (OSError, serial.SerialException, TypeError) as error:
            raise PortGone(str(error)) from error
        return first + rest

    def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            PortGone: it went away, or takes nothing for a second.
        """
        try:
            self._port.write(data)
        except (OSError, serial.SerialException) as error:
            raise PortGone(str(error)) from error

    def close(self) -> None:
        """Give the port back, so that it may come again under its name."""
        with suppress(OSError, serial.SerialException):
            self._port.close()
