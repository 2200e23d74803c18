"""A scanner that types, through Linux's evdev: one thread that reads it whenever it is plugged in.

The kernel holds about 64 events for us, a code of 13 digits is some 80: who reads may not be kept
waiting. Source: docs.kernel.org/input/input.html, "Event interface"; linux/input.h.
"""

import errno
import fcntl
import logging
import os
import select
import stat
import struct
import threading
import time
from collections import deque
from typing import Final

from sensor_adapters.device import Alive, Happened
from sensor_adapters.gateway.hid_keys import KeyDecoder
from sensor_adapters.gateway.hid_layouts import Layout
from sensor_adapters.samples import US_PER_S

log = logging.getLogger(__name__)
INPUT_EVENT: Final = "@llHHi"
"""``struct input_event``: seconds, microseconds, type, code, value; a ``long`` is as the machine's,
so that an event has 24 bytes on 64-bit boards and 16 on 32-bit ones."""
EV_SYN, EV_KEY, SYN_REPORT, SYN_DROPPED = 0, 1, 0, 3
EVIOCGRAB = 0x40044590
"""From then on only we hear it: a code is not typed into a login prompt as well."""
MOST_WAITING = 1000
AGAIN_S, MOST_AGAIN_S = 0.2, 2.0
MOST_READ = 4096

Heard = tuple[Alive | Happened, int]
"""What was heard, and when."""


class EventStream:
    """Bytes from the kernel to codes."""

    def __init__(self, decoder: KeyDecoder, form: str = INPUT_EVENT) -> None:
        self._decoder, self._form, self._rest = decoder, struct.Struct(form), b""
        self._is_lost = False

    def feed(self, data: bytes) -> list[Happened]:
        """Return the codes that end in ``data``."""
        data = self._rest + data
        whole = len(data) - len(data) % self._form.size
        self._rest = data[whole:]
        found = []
        for second, us, kind, code, value in self._form.iter_unpack(data[:whole]):
            if kind == EV_SYN and code == SYN_DROPPED:
                self._is_lost = True
                self._decoder.lost()
            elif kind == EV_SYN and code == SYN_REPORT:
                self._is_lost = False
            elif kind == EV_KEY and not self._is_lost:
                at_us = second * US_PER_S + us
                if (one := self._decoder.key(code, value, at_us)) is not None:
                    found.append(Happened(one.text, one.at_us))
        return found


class HidReader:
    """One scanner, by the path that it always has."""

    def __init__(self, name: str, path: str, layout: Layout) -> None:
        """Prepare; ``start`` begins to look for it."""
        self._name, self._path = name, path
        self.decoder = KeyDecoder(layout)
        self.dropped = 0
        """Codes for which there was no room."""
        self._heard: deque[Heard] = deque()
        self._why = ""
        """It is missing; empty while it is there."""
        self._again_s = AGAIN_S
        self._wake, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"scanner-{name}", daemon=True)

    def start(self) -> None:
        """Begin to read, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and give the scanner back."""
        os.close(self._stop)
        if self._thread.ident is not None:
            self._thread.join(5)
        os.close(self._wake)

    def take(self) -> list[Heard]:
        """Return what was heard since, oldest first."""
        return [self._heard.popleft() for _ in range(len(self._heard))]

    # --- the thread; nothing here may raise ---

    def _run(self) -> None:
        while not self._is_over(0):
            try:
                scanner = _open(self._path)
            except OSError as error:
                self._missing(error)
            else:
                if self._why:
                    log.warning("%s: it is there, %s", self._name, self._path)
                self._why = ""
                self._put(Alive(True))
                try:
                    self._read(scanner)
                finally:
                    os.close(scanner)
                if self._is_over(0):
                    return
                self._missing(OSError(errno.ENODEV, "it was unplugged"))
            if self._is_over(self._again_s):
                return
            self._again_s = min(self._again_s * 2, MOST_AGAIN_S)

    def _missing(self, error: OSError) -> None:
        if not self._why:
            hint = (
                ", or a member of group `input` to run this" if error.errno == errno.EACCES else ""
            )
            log.warning(
                "%s: %s: %s; expected a scanner there%s, looking every %g s", self._name,
                self._path, error.strerror, hint, MOST_AGAIN_S,
            )  # fmt: skip
            self._put(Alive(False))
        self._why = str(error)

    def _read(self, scanner: int) -> None:
        """Read until it goes, or until we are told to end."""
        stream, poll = EventStream(self.decoder), select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(scanner, select.POLLIN)
        while True:
            ready = dict(poll.poll(500 if self.decoder.is_amid else None))
            if self._wake in ready:
                return
            if not ready:
                self.decoder.expire(_now_us())
                continue
            try:
                data = os.read(scanner, MOST_READ)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                self.decoder.lost()
                return
            self._again_s = AGAIN_S
            for code in stream.feed(data):
                self._put(code)

    def _put(self, one: Alive | Happened) -> None:
        if len(self._heard) >= MOST_WAITING and isinstance(one, Happened):
            self.dropped += 1
        else:
            self._heard.append((one, _now_us()))

    def _is_over(self, patience_s: float) -> bool:
        return bool(select.select([self._wake], [], [], patience_s)[0])


def _open(path: str) -> int:
    """Return a scanner's file, opened for us alone.

    Raises:
        OSError: it is not there, not ours to open, no device, or somebody else's.
    """
    scanner = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(scanner).st_mode
        if stat.S_ISCHR(mode):
            fcntl.ioctl(scanner, EVIOCGRAB, 1)
        elif not stat.S_ISFIFO(mode):
            raise OSError(errno.ENOTTY, "it is no input device")
    except OSError:
        os.close(scanner)
        raise
    return scanner


def _now_us() -> int:
    return time.time_ns() // 1000
