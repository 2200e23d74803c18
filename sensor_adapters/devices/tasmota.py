"""Tasmota: plugs that measure power, relays, switches, buttons, sensors.

``Time`` is of whole seconds, and local unless its owner changed that: when the message came is
nearer. Sources: tasmota.github.io/docs/MQTT, docs/Energy (several phases or relays are a list),
docs/Buttons-and-Switches (``Action``), docs/Tasmota-Discovery.
"""

import re
from collections.abc import Iterable
from typing import Any

from sensor_adapters.device import DeviceAdapter, Found, Happened, Number, Reading, State
from sensor_adapters.devices.tasmota_topics import TasmotaSettings, discovered, lwt, resolved
from sensor_adapters.json_fields import at, number, object_of, shown, text_of
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message

MOST_SWITCHES = 28


class Settings(TasmotaSettings, frozen=True, kw_only=True):
    """One value of a device."""

    property: str = "ENERGY.Power"
    """The way to it in what the device says: ``ENERGY.Power`` (of a list, the sum),
    ``ENERGY.Power.1`` (the second), ``POWER``, ``POWER2``, ``Switch1``, ``Button1``,
    ``SI7021.Temperature``."""
    on: str = "ON"
    """Its ``StateText2``."""
    off: str = "OFF"
    """Its ``StateText1``."""


class Tasmota(DeviceAdapter[Settings]):
    """One value of one Tasmota device."""

    settings_type = Settings
    discovery = ("tasmota/discovery/+/config",)
    sooner = "a Tasmota plug says its power every 300 s: type `TelePeriod 10` and `PowerDelta 105`"
    sooner += " (5 W) into its console"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        name = settings.property
        if not all(name.split(".")):
            raise ValueError(f"property is {name!r}, expected a path such as 'ENERGY.Power'")
        self._lwt = resolved(settings, settings.tele, "LWT")
        self._power = resolved(settings, settings.stat, name)
        tele = resolved(settings, settings.tele, "SENSOR")
        stat = resolved(settings, settings.stat, "RESULT")
        if is_relay := bool(re.fullmatch(r"POWER\d*", name)):
            tele, stat = resolved(settings, settings.tele, "STATE"), self._power
        self._is_button = bool(re.fullmatch(r"Button\d+", name))
        is_switch = bool(re.fullmatch(r"Switch\d+", name))
        said = (tele, stat) if is_relay or is_switch else (stat if self._is_button else tele,)
        self.topics = (*said, self._lwt)
        self.kind = "event" if self._is_button else "state"
        self.is_number = not (is_relay or is_switch or self._is_button)

    def read(self, message: Message) -> Iterable[Reading]:
        """Return the value, or whether the device is there."""
        if message.topic == self._lwt:
            return (lwt(self.settings, message),)
        name = self.settings.property
        if message.topic == self._power and not message.payload.lstrip().startswith(b"{"):
            return (self._state(message, text_of(message)),)  # stat/…/POWER is text
        value = _value(message, object_of(message), name)
        if isinstance(value, dict):  # of a switch or button: what was done to it
            value = value.get("Action")
        if value is None:
            return ()
        if self._is_button:
            if not isinstance(value, str):
                raise DecodeError(f"{message.topic}: {name} is {shown(value)}, expected text")
            return (Happened(value),)
        if not self.is_number:
            return (self._state(message, value),)
        where = f"{message.topic}: {name}"
        if isinstance(value, list) and value and name.endswith("Power"):
            return (Number(sum(number(where, one) for one in value)),)
        return (Number(number(where, value)),)

    def _state(self, message: Message, value: Any) -> State:
        words = (self.settings.off, self.settings.on)
        if not isinstance(value, str) or value not in words:
            expected = f"{words[1]} or {words[0]}"
            where = f"{message.topic}: {self.settings.property}"
            raise DecodeError(f"{where} is {shown(value)}, expected {expected}")
        return State(value == words[1])

    @classmethod
    def found(cls, message: Message) -> Iterable[Found]:
        """Return the relay plugs, switches and buttons of a device's configuration.

        It does not say whether a plug measures its power; one that does not has ``POWER`` only.
        """
        config = object_of(message)
        settings = discovered(config)
        if settings is None:
            return
        name = settings["topic"]
        about = " ".join(str(config[key])[:60] for key in ("md", "dn", "sw") if config.get(key))
        if any(at(config, f"rl.{relay}") == 1 for relay in range(MOST_SWITCHES)):
            yield Found(name, about, settings, is_number=True)
        state = config.get("state")
        if isinstance(state, list) and len(state) >= 2 and all(isinstance(s, str) for s in state):
            settings |= {"on": state[1]} if state[1] != "ON" else {}
            settings |= {"off": state[0]} if state[0] != "OFF" else {}
        for index in range(MOST_SWITCHES):
            mode = at(config, f"swc.{index}")
            for kind, is_there in (
                ("Switch", isinstance(mode, int) and mode >= 0),
                ("Button", at(config, f"btn.{index}") == 1 and at(config, "so.73") == 1),
            ):
                if is_there:
                    own = f"{kind}{index + 1}"
                    yield Found(f"{name}/{own}", about, {**settings, "property": own})


def _value(message: Message, body: dict[str, Any], path: str) -> Any:
    """Return what lies at a path; None if the message is of something else, or says null.

    Raises:
        DecodeError: the message has it, in another form.
    """
    value, (first, *rest) = at(body, path), path.split(".")
    if value is None and rest and body.get(first) is not None:
        parent, last = at(body, path.rpartition(".")[0]), rest[-1]
        is_null = isinstance(parent, list) and last.isdecimal() and int(last) < len(parent)
        if not is_null and not (isinstance(parent, dict) and last in parent):
            raise DecodeError(
                f"{message.topic}: found {shown(body[first])} at {first}, expected {path} in it"
            )
    return value
