"""Which device of which station sits where, as a board's configuration says it.

Only ``[stations.<id>.devices.<id>] placement`` is read; all else is the board's business.
"""

from pathlib import Path

import msgspec

from sensor_adapters.recording import RecordingError


class _Device(msgspec.Struct):
    placement: str


class _Station(msgspec.Struct):
    devices: dict[str, _Device] = {}


class _Site(msgspec.Struct):
    stations: dict[str, _Station]


def read_placements(path: Path) -> dict[str, str]:
    """Return placements by ``station/device``.

    Raises:
        RecordingError: the file is missing or damaged, or names no placement.
    """
    try:
        site = msgspec.toml.decode(path.read_bytes(), type=_Site)
    except OSError as error:
        raise RecordingError(
            f"{path}: {error.strerror}, expected a board's configuration"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise RecordingError(f"{path}: {error}, expected a board's configuration") from error
    found = {
        f"{station}/{device}": one.placement
        for station, devices in site.stations.items()
        for device, one in devices.devices.items()
    }
    if not found:
        raise RecordingError(f"{path}: found no [stations.<id>.devices.<id>], expected some")
    return found
