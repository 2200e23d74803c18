"""Learning from which number on a device is in use: listen to it while it is idle and used."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sensor_adapters.device import Alive, Number, in_words
from sensor_adapters.gateway.config import GatewayConfig
from sensor_adapters.gateway.device_worker import (
    Failed,
    Open,
    Opened,
    Read,
    Rejected,
    Said,
    Worker,
    Wrong,
    adapter_class,
)
from sensor_adapters.gateway.in_use import Learnt, OneLevel, learnt
from sensor_adapters.recorder.subscriber import Subscriber
from sensor_adapters.settings import ConfigError
from sensor_adapters.topics import Message


@dataclass
class Calibration:
    """One device, and the numbers it said so far."""

    device: str
    topics: list[str]
    sooner: str
    """What makes it say them more often; may be empty."""
    worker: Worker
    values: list[float] = field(default_factory=list)
    others: str = ""
    """The last reading that was no number."""
    refused: str = ""
    """Why the last message was refused."""

    def hear(self, message: Message) -> list[float]:
        """Return the numbers in a message; what was retained is of a time that nobody knows."""
        task = Read(
            self.device, message.topic, message.payload, message.received_us, message.retained
        )
        answer, found = self.worker.do(task), list[float]()
        match answer:
            case Said(readings):
                for one in readings:
                    if isinstance(one, Number):
                        found += [] if message.retained else [one.value]
                    elif not isinstance(one, Alive):
                        self.others = in_words(one)
            case Rejected(text) | Failed(text):
                self.refused = text
        self.values += found
        return found

    def result(self, *, is_low_busy: bool) -> Learnt:
        """Return what was learnt.

        Raises:
            OneLevel: nothing could be; the text says what was found, and what may help.
        """
        try:
            return learnt(self.values, is_low_busy=is_low_busy)
        except OneLevel as error:
            text = str(error)
            if self.others and not self.values:
                text += f"; it says {self.others!r}, which needs no in_use"
            if self.refused:
                text += f"; refused: {self.refused}"
            raise OneLevel(f"{text}; {self.sooner}" if self.sooner else text) from error


def opened(config: GatewayConfig, file: str, device: str) -> Calibration:
    """Return a device of a configuration, ready to be listened to.

    Raises:
        ConfigError: there is no such device, or its block is wrong.
    """
    if device not in config.devices:
        known = ", ".join(config.devices) or "one under [devices]"
        raise ConfigError(f"{file}: devices has no {device!r}, expected {known}")
    block = config.devices[device]
    worker = Worker()
    match worker.do(Open(device, block["adapter"], file, block)):
        case Opened(topics):
            sooner = adapter_class(block["adapter"]).sooner
            return Calibration(device, topics, sooner, worker)
        case Wrong(text):
            raise ConfigError(text)
        case other:
            raise ConfigError(f"{file}: devices.{device}: its adapter fails: {other}")


def listen(
    one: Calibration, config: GatewayConfig, is_over: Callable[[], bool], say: Callable[[str], None]
) -> Iterator[float]:
    """Yield the device's numbers as they come, until it is over.

    Raises:
        BrokerError: there is no broker, or it turns us away.
    """
    with Subscriber(config.broker, one.topics, say) as heard:
        while not is_over():
            for _, message in heard.take(0.1, 100):
                yield from one.hear(message)
