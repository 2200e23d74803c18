"""What Linux says of the machine: heat, clock rates, memory, what was written, what is free.

What a machine does not say is None, never a guess. Sources: the kernel's documentation of
``/sys/class/thermal`` (sysfs-api), of ``cpufreq``, and of ``/proc/<pid>/io``.
"""

import os
from dataclasses import dataclass
from pathlib import Path

SLOWING_TRIPS = ("passive", "hot", "critical")  # an active trip only turns on a fan
SLOWING_DEVICES = ("cpufreq", "devfreq")


@dataclass(frozen=True)
class Heat:
    """Temperatures, and what they make the machine do."""

    zones_c: dict[str, float]
    """By zone: ``cpu-thermal``."""
    too_hot: tuple[str, ...]
    """Zones at or above the first temperature at which the kernel slows the machine down."""
    is_slowed: bool | None
    """Does the kernel hold CPU or GPU back for the heat?  None: the machine does not say."""


class Machine:
    """A Linux machine; the folders are others in tests."""

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._proc, self._sys = proc, sys

    def heat(self) -> Heat | None:
        """Return the temperatures; None where there is no thermal zone to be read."""
        zones, too_hot = {}, []
        for zone in sorted((self._sys / "class/thermal").glob("thermal_zone*")):
            name, milli_c = _text(zone / "type"), _number(zone / "temp")
            if name is None or milli_c is None:  # a zone whose part is switched off can not be read
                continue
            zones[name] = milli_c / 1000
            trips = [
                _number(kind.with_name(kind.name.replace("_type", "_temp")))
                for kind in zone.glob("trip_point_*_type")
                if _text(kind) in SLOWING_TRIPS
            ]
            if any(trip is not None and 0 < trip <= milli_c for trip in trips):
                too_hot.append(name)
        if not zones:
            return None
        slowing = [
            _number(device / "cur_state")
            for device in (self._sys / "class/thermal").glob("cooling_device*")
            if any(kind in (_text(device / "type") or "") for kind in SLOWING_DEVICES)
        ]
        is_slowed = any(state for state in slowing) if slowing else None
        return Heat(zones, tuple(too_hot), is_slowed)

    def cpu_mhz(self) -> dict[str, float] | None:
        """Return the mean clock rate of the cores ``now``, and the ``most`` they could have."""
        now, most = [], []
        for core in (self._sys / "devices/system/cpu").glob("cpu[0-9]*/cpufreq"):
            running = _number(core / "scaling_cur_freq")
            highest = _number(core / "cpuinfo_max_freq")
            if running is not None and highest is not None:
                now.append(running)
                most.append(highest)
        if not now:
            return None
        return {
            "now": round(sum(now) / len(now) / 1000, 1),
            "most": round(sum(most) / len(most) / 1000, 1),
        }

    def written_bytes(self) -> int | None:
        """Return what this program has had written to disks since its start."""
        return self._field("self/io", "write_bytes:")

    def memory_mb(self) -> dict[str, float]:
        """Return what this program holds, and the most that it has held.

        Not ``ru_maxrss``: that remembers what the parent held before this program began.
        """
        kib = {name: self._field("self/status", f"{name}:") for name in ("VmRSS", "VmHWM")}
        return {
            "rss_mb": round((kib["VmRSS"] or 0) / 1024, 1),
            "peak_mb": round((kib["VmHWM"] or 0) / 1024, 1),
        }

    def _field(self, file: str, name: str) -> int | None:
        for line in (_text(self._proc / file) or "").splitlines():
            if line.startswith(name):
                return int(line.split()[1])
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _number(path: Path) -> int | None:
    try:
        return int(_text(path) or "")
    except ValueError:
        return None


def file_bytes(path: Path) -> int:
    """Return a file's size; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def free_bytes(folder: Path) -> int | None:
    """Return the room left for this program on a folder's disk."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
