"""An MQTT broker without installation, for the demo and first steps: amqtt on loopback only.

Production boards run mosquitto; this one is pure Python, holds nothing across restarts, and lets
everybody in who is already on the machine.
"""

import asyncio
import logging
import signal
import sys

HOST = "127.0.0.1"


async def serve(port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        amqtt.errors.BrokerError: the port is taken.
    """
    from amqtt.broker import Broker

    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop.set)
    broker = Broker(config)
    await broker.start()
    await stop.wait()
    await broker.shutdown()


def main() -> None:
    """Run on the port given as the only argument; exit with 2 for a setting, 1 for the world."""
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("amqtt.broker").setLevel(logging.CRITICAL)  # what it logs, it raises too
    given = sys.argv[1:]
    if len(given) != 1 or not given[0].isdecimal() or not 0 < int(given[0]) < 65536:
        found = " ".join(given) or "nothing"
        print(f"error: found {found}, expected a port, 1 to 65535", file=sys.stderr)
        raise SystemExit(2)
    try:
        from amqtt.errors import BrokerError
    except ImportError:
        print(
            "error: amqtt is not installed, expected solosense[demo]; mosquitto serves as well",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    try:
        asyncio.run(serve(int(given[0])))
    except BrokerError as error:
        print(f"error: no broker on {HOST}:{given[0]}: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
