"""BTHome version 2: what stands in a Bluetooth advertisement's service data. Pure.

Source: bthome.io/format, "BTHome Data format" and its tables; all integers are little endian.
"""

from dataclasses import dataclass, field

from sensor_adapters.samples import DecodeError

UUID = "fcd2"
MOST_BYTES = 1650  # of an extended advertisement, Bluetooth Core 5, Vol 4, 7.8.54
PACKET, BUTTON, DIMMER, TEXT, RAW = 0x00, 0x3A, 0x3C, 0x53, 0x54
PRESSES = {
    0x00: "", 0x01: "press", 0x02: "double_press", 0x03: "triple_press", 0x04: "long_press",
    0x05: "long_double_press", 0x06: "long_triple_press", 0x80: "hold_press",
}  # fmt: skip
TURNS = {0x00: "", 0x01: "rotate_left", 0x02: "rotate_right"}
BINARY = {
    0x0F: "generic_boolean", 0x10: "power_on", 0x11: "opening", 0x15: "battery_low",
    0x16: "battery_charging", 0x17: "carbon_monoxide", 0x18: "cold", 0x19: "connectivity",
    0x1A: "door", 0x1B: "garage_door", 0x1C: "gas_detected", 0x1D: "heat", 0x1E: "light",
    0x1F: "lock", 0x20: "moisture_detected", 0x21: "motion", 0x22: "moving", 0x23: "occupancy",
    0x24: "plug", 0x25: "presence", 0x26: "problem", 0x27: "running", 0x28: "safety",
    0x29: "smoke", 0x2A: "sound", 0x2B: "tamper", 0x2C: "vibration", 0x2D: "window",
}  # fmt: skip
"""1 is on, open, detected; names that numbers have too say which is meant."""
NUMBERS: dict[int, tuple[str, int, float]] = {
    0x01: ("battery", 1, 1), 0x02: ("temperature", -2, 0.01), 0x03: ("humidity", 2, 0.01),
    0x04: ("pressure", 3, 0.01), 0x05: ("illuminance", 3, 0.01), 0x06: ("mass", 2, 0.01),
    0x07: ("mass_lb", 2, 0.01), 0x08: ("dewpoint", -2, 0.01), 0x09: ("count", 1, 1),
    0x0A: ("energy", 3, 0.001), 0x0B: ("power", 3, 0.01), 0x0C: ("voltage", 2, 0.001),
    0x0D: ("pm2.5", 2, 1), 0x0E: ("pm10", 2, 1), 0x12: ("co2", 2, 1), 0x13: ("tvoc", 2, 1),
    0x14: ("moisture", 2, 0.01), 0x2E: ("humidity", 1, 1), 0x2F: ("moisture", 1, 1),
    0x3D: ("count", 2, 1), 0x3E: ("count", 4, 1), 0x3F: ("rotation", -2, 0.1),
    0x40: ("distance_mm", 2, 1), 0x41: ("distance", 2, 0.1), 0x42: ("duration", 3, 0.001),
    0x43: ("current", 2, 0.001), 0x44: ("speed", 2, 0.01), 0x45: ("temperature", -2, 0.1),
    0x46: ("uv_index", 1, 0.1), 0x47: ("volume", 2, 0.1), 0x48: ("volume_ml", 2, 1),
    0x49: ("volume_flow_rate", 2, 0.001), 0x4A: ("voltage", 2, 0.1), 0x4B: ("gas", 3, 0.001),
    0x4C: ("gas", 4, 0.001), 0x4D: ("energy", 4, 0.001), 0x4E: ("volume", 4, 0.001),
    0x4F: ("water", 4, 0.001), 0x50: ("timestamp", 4, 1), 0x51: ("acceleration", 2, 0.001),
    0x52: ("gyroscope", 2, 0.001), 0x55: ("volume_storage", 4, 0.001),
    0x56: ("conductivity", 2, 1), 0x57: ("temperature", -1, 1), 0x58: ("temperature", -1, 0.35),
    0x59: ("count", -1, 1), 0x5A: ("count", -2, 1), 0x5B: ("count", -4, 1),
    0x5C: ("power", -4, 0.01), 0x5D: ("current", -2, 0.001), 0x5E: ("direction", 2, 0.01),
    0x5F: ("precipitation", 2, 1), 0xF0: ("device_type", 2, 1), 0xF1: ("firmware", 4, 1),
    0xF2: ("firmware", 3, 1),
}  # fmt: skip
"""Property, bytes (below 0: signed) and factor; kg, m, W, m/s^2, °/s where the name has no unit."""


@dataclass
class Advert:
    """One advertisement."""

    packet: int | None = None
    """Grows with every change; the same number again is the same advertisement."""
    values: dict[str, bool | float | str] = field(default_factory=dict)
    """By property; the second of a name is ``button_2``. A button that rests is ``""``."""
    unknown: int | None = None
    """The object id at which reading ended: what follows can not be told apart."""


def parse(where: str, data: bytes) -> Advert:
    """Return what service data says, as far as its objects are known.

    Raises:
        DecodeError: no BTHome version 2, encrypted, or an object that is cut off.
    """
    if not 0 < len(data) <= MOST_BYTES:
        raise DecodeError(f"{where}: found {len(data)} bytes, expected 1 to {MOST_BYTES}")
    info, advert, place = data[0], Advert(), 1
    if info >> 5 != 2:
        raise DecodeError(f"{where}: found BTHome version {info >> 5}, expected 2")
    if info & 1:
        raise DecodeError(
            f"{where}: found an encrypted advertisement, expected a plain one, or a gateway that"
            " has the key"
        )
    seen: dict[str, int] = {}
    while place < len(data):
        object_id = data[place]
        length = _length(object_id, data[place + 1 : place + 2])
        if length is None:
            advert.unknown = object_id
            break
        body = data[place + 1 : place + 1 + length]
        if len(body) < length:
            raise DecodeError(
                f"{where}: object 0x{object_id:02X} has {len(body)} bytes, expected {length}"
            )
        place += 1 + length
        if object_id == PACKET:
            advert.packet = body[0]
            continue
        name, value = _value(object_id, body)
        seen[name] = seen.get(name, 0) + 1
        advert.values[name if seen[name] == 1 else f"{name}_{seen[name]}"] = value
    return advert


def _length(object_id: int, after: bytes) -> int | None:
    """Return how many bytes follow an object id; None if nobody knows."""
    if object_id in NUMBERS:
        return abs(NUMBERS[object_id][1])
    if object_id in (TEXT, RAW):
        return 1 + after[0] if after else 1
    if object_id == DIMMER:
        return 2
    return 1 if object_id in BINARY or object_id in (PACKET, BUTTON) else None


def _value(object_id: int, body: bytes) -> tuple[str, bool | float | str]:
    if object_id in NUMBERS:
        name, size, factor = NUMBERS[object_id]
        return name, round(int.from_bytes(body, "little", signed=size < 0) * factor, 6)
    if object_id in BINARY:
        return BINARY[object_id], body[0] != 0
    if object_id == BUTTON:
        return "button", PRESSES.get(body[0], f"press_{body[0]}")
    if object_id == DIMMER:
        turn = TURNS.get(body[0], f"turn_{body[0]}")
        return "dimmer", f"{turn} {body[1]}" if turn else ""
    if object_id == TEXT:
        return "text", body[1:].decode(errors="replace")
    return "raw", body[1:].hex()
