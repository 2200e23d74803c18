"""solosense-adapters calibrate: learn from which number on a device is in use."""

import json
import time
from typing import Annotated

import msgspec
import typer

from sensor_adapters.broker_option import HELP, broker_of
from sensor_adapters.gateway.commands import AdaptersFile
from sensor_adapters.terminal import ctrl_c, fail, say


def calibrate(
    adapters: AdaptersFile,
    device: Annotated[str, typer.Argument(help="Its id under [devices].")],
    seconds: Annotated[float, typer.Option(help="How long to listen.", min=0.1)] = 120.0,
    low_is_busy: Annotated[
        bool, typer.Option(help="In use when the number is low, as millimetres to a hand.")
    ] = False,
    broker: Annotated[
        str | None, typer.Option(metavar="BROKER", help=f"{HELP} If left out, the gateway's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Listen to a device while you use it and leave it alone; print its in_use setting.

    Ctrl-C ends the listening; what was heard until then counts.
    """
    from sensor_adapters.gateway import config as gateway_config
    from sensor_adapters.gateway.calibration import listen, opened
    from sensor_adapters.gateway.in_use import OneLevel
    from sensor_adapters.publisher import BrokerError
    from sensor_adapters.settings import ConfigError

    try:
        config = gateway_config.load(adapters)
        one = opened(config, adapters.name, device)
        if broker:
            config = msgspec.structs.replace(config, broker=broker_of(broker))
    except (ConfigError, ValueError) as error:
        fail(str(error), 2)
    say(f"listening to {device} for {seconds:g} s: use it several times, and leave it alone")
    began_s = time.monotonic()
    try:
        with ctrl_c() as is_stopped:
            for value in listen(
                one, config, lambda: is_stopped() or time.monotonic() - began_s >= seconds, say
            ):
                say(f"{time.monotonic() - began_s:7.1f} s  {value:g}")
        found = one.result(is_low_busy=low_is_busy)
    except ConfigError as error:
        fail(str(error), 2)
    except BrokerError as error:
        fail(str(error), 1)
    except OneLevel as error:
        fail(f"{device}: {error}", 1)
    on, off = found.in_use.on, found.in_use.off
    if as_json:
        print(json.dumps({"idle": found.idle, "busy": found.busy, "on": on, "off": off}))
        return
    say(
        f"idle {found.idle:g} ({found.idle_count} numbers), in use {found.busy:g}"
        f" ({found.busy_count} numbers); for [devices.{device}] of {adapters.name}:"
    )
    print(f"in_use = {{ on = {on!r}, off = {off!r} }}")
