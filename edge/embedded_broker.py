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
    """Serve until SIGTERM or SIGINT."""
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
    """Run on the port given as the only argument."""
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
