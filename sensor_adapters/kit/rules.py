"""The rules an adapter must keep, as far as they can be run: bronze, silver, gold.

Modelled on Home Assistant's integration quality scale and Sparkplug's numbered assertions. What
only people and time can judge (tried on the real device, a day without a leak) is not claimed here.
"""

import contextlib
import io
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from sensor_adapters.kit.audit import watched
from sensor_adapters.kit.examples import ExampleDevice
from sensor_adapters.kit.mutations import mutated
from sensor_adapters.kit.subject import Feed, Subject
from sensor_adapters.samples import DecodeError
from sensor_adapters.settings import ConfigError
from sensor_adapters.topics import Message

Level = Literal["bronze", "silver", "gold"]
MOST_TEXT = 500
MOST_GROWTH_BYTES = 1 << 20
QUICK_S = 1.0
"""For the longest message; the gateway ends what takes two seconds."""
LONG = 1 << 20


class Broken(Exception):
    """A rule is broken; the text says how."""


@dataclass(frozen=True)
class Rule:
    """One rule."""

    id: str
    level: Level
    law: str
    run: Callable[[Subject, int, int], None]
    """Takes subject, number of mutated payloads and seed; raises ``Broken``."""


# --- bronze ---


def _settings(subject: Subject, payloads: int, seed: int) -> None:
    for device in _devices(subject):
        subject.make(device)
        if subject.runs_in == "board":
            continue
        odd = ExampleDevice(
            name=device.name, source=device.source, messages=device.messages,
            settings={**device.settings, "no_such_setting": 1},
        )  # fmt: skip
        try:
            subject.make(odd)
        except ConfigError:
            continue
        raise Broken("took a setting that it does not know, expected a ConfigError")


def _described(subject: Subject, payloads: int, seed: int) -> None:
    if not subject.examples.title or not subject.examples.about:
        raise Broken("found no title or about in its examples, expected what it is for")


def _recorded(subject: Subject, payloads: int, seed: int) -> None:
    devices = _devices(subject)
    count = sum(len(device.messages) for device in devices)
    if count < 2 or not all(device.source for device in devices):
        raise Broken(f"found {count} messages, expected two or more, and their source")


def _as_shown(subject: Subject, payloads: int, seed: int) -> None:
    for device in _devices(subject):
        feed = subject.make(device)
        for shown in device.messages:
            said = feed(shown.message())
            if said != list(shown.readings):
                raise Broken(
                    f"{device.name}: read {said} of {shown.payload or shown.hex!r}, expected"
                    f" {list(shown.readings)}"
                )


def _licensed(subject: Subject, payloads: int, seed: int) -> None:
    if not subject.licence:
        raise Broken("its package states no licence")


def _refuses(subject: Subject, payloads: int, seed: int) -> None:
    for feed, message in _strange(subject, payloads, seed):
        _read(feed, message)


def _cut(subject: Subject, payloads: int, seed: int) -> None:
    for device in _devices(subject):
        feed = subject.make(device)
        for shown in device.messages:
            whole = shown.message()
            for end in range(len(whole.payload)):
                _read(feed, Message(whole.topic, whole.payload[:end], 0))


def _the_same(subject: Subject, payloads: int, seed: int) -> None:
    first, second = (
        [_read(feed, message) for feed, message in _strange(subject, payloads // 4, seed)]
        for _ in range(2)
    )
    if first != second:
        raise Broken("two devices read the same messages differently, expected the same")
    for device in _devices(subject):
        if list(subject.topics(device)) != list(subject.topics(device)):
            raise Broken("two devices of the same settings listen to different topics")


def _alone(subject: Subject, payloads: int, seed: int) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), watched() as touched:
        for feed, message in _strange(subject, payloads // 4, seed):
            _read(feed, message)
    if touched:
        raise Broken(f"touched {', '.join(sorted(set(touched)))}, expected nothing but the message")
    if said.getvalue():
        raise Broken(f"printed {said.getvalue()[:60]!r}, expected silence")


def _topics(subject: Subject, payloads: int, seed: int) -> None:
    for device in _devices(subject):
        topics = list(subject.topics(device))
        if not topics:
            raise Broken(f"{device.name}: listens to nothing, expected a topic")
        for topic in topics:
            levels = topic.split("/")
            fine = all(level in ("+", "#") or not set("+#") & set(level) for level in levels)
            if not fine or "#" in levels[:-1] or levels[0] in ("#", "+") or not topic:
                raise Broken(f"{device.name}: listens to {topic!r}, expected a topic of its own")


# --- silver ---


def _says_why(subject: Subject, payloads: int, seed: int) -> None:
    for feed, message in _strange(subject, payloads // 4, seed):
        try:
            feed(message)
        except DecodeError as error:
            text = str(error)
            if ("expected" not in text and "payload of" not in text) or len(text) > MOST_TEXT:
                raise Broken(
                    f"refused with {text[:120]!r}, expected what was found and what was expected,"
                    f" in {MOST_TEXT} characters"
                ) from error


def _bounded(subject: Subject, payloads: int, seed: int) -> None:
    rng = random.Random(seed)
    for device in _devices(subject):
        feed, messages = subject.make(device), [one.message() for one in device.messages]
        tracemalloc.start()
        try:
            sizes = []
            for _ in range(2):
                for _ in range(max(payloads // 2, 1000)):
                    with contextlib.suppress(DecodeError):
                        feed(mutated(messages, rng))
                sizes.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        if sizes[1] - sizes[0] > MOST_GROWTH_BYTES:
            raise Broken(f"{device.name}: holds {sizes[1] - sizes[0]} bytes more after each round")


def _quick(subject: Subject, payloads: int, seed: int) -> None:
    for device in _devices(subject):
        feed = subject.make(device)
        for shown in device.messages[:1]:
            topic = shown.message().topic
            for body in (b"[" * LONG, b"9" * LONG, b'"' + b"x" * LONG + b'"', bytes(LONG)):
                start_s = time.perf_counter()
                _read(feed, Message(topic, body, 0))
                took_s = time.perf_counter() - start_s
                if took_s > QUICK_S:
                    raise Broken(
                        f"took {took_s:.1f} s for a megabyte, expected {QUICK_S:g} at most"
                    )


def _knows_gone(subject: Subject, payloads: int, seed: int) -> None:
    if subject.runs_in == "board":
        return  # such devices have a will of their own
    said = [word for d in _devices(subject) for m in d.messages for word in m.readings]
    if "gone" not in said and "silent_s" not in subject.examples.limits:
        raise Broken(
            "no example in which a device is gone; if it never says so, limits must name silent_s"
        )


# --- gold ---


def _discovers(subject: Subject, payloads: int, seed: int) -> None:
    if subject.runs_in == "board":
        return  # their topics name them
    if not subject.examples.discovery:
        raise Broken("no example of how devices make themselves known")
    for one in subject.examples.discovery:
        names = subject.found(one.message())
        if names != list(one.found):
            raise Broken(f"discovered {names}, expected {list(one.found)}")
    rng = random.Random(seed)
    messages = [one.message() for one in subject.examples.discovery]
    for _ in range(payloads // 4):
        with contextlib.suppress(DecodeError):
            subject.found(mutated(messages, rng))


def _several(subject: Subject, payloads: int, seed: int) -> None:
    if len(subject.examples.devices) < 2:
        raise Broken("one example device, expected two or more that differ")


def _limits(subject: Subject, payloads: int, seed: int) -> None:
    if not subject.examples.limits:
        raise Broken("says nothing of its limits, expected what it can not do")


RULES = (
    Rule("A-01", "bronze", "takes its example settings, refuses unknown ones", _settings),
    Rule("A-03", "bronze", "any payload is readings or a DecodeError", _refuses),
    Rule("A-05", "bronze", "the same messages are the same readings", _the_same),
    Rule("A-07", "bronze", "says what it is for", _described),
    Rule("A-08", "bronze", "two messages or more, and their source", _recorded),
    Rule("A-09", "bronze", "reads its examples as they say", _as_shown),
    Rule("A-10", "bronze", "its licence is stated", _licensed),
    Rule("A-27", "bronze", "cut anywhere, a payload is readings or a DecodeError", _cut),
    Rule("A-28", "bronze", "touches no file, network, process or terminal", _alone),
    Rule("A-29", "bronze", "listens to topics of its own", _topics),
    Rule("A-13", "silver", "what it refuses, it says why", _says_why),
    Rule("A-16", "silver", "holds no more after many messages", _bounded),
    Rule("A-17", "silver", "knows when its device is gone, or says that it can not", _knows_gone),
    Rule("A-30", "silver", "a megabyte does not hold it up", _quick),
    Rule("A-19", "gold", "discovers devices", _discovers),
    Rule("A-31", "gold", "shown on two devices or more", _several),
    Rule("A-32", "gold", "says what it can not do", _limits),
)
"""Numbers below A-27 are those of the published proposal; A-02, A-06, A-11, A-12, A-14 and A-15 are
the gateway's to keep."""


def _devices(subject: Subject) -> tuple[ExampleDevice, ...]:
    if not subject.examples.devices:
        raise Broken("found no example device, expected one or more")
    return subject.examples.devices


def _strange(subject: Subject, payloads: int, seed: int) -> Iterator[tuple[Feed, Message]]:
    """Yield mutated messages and a device to read each, shared out among the example devices."""
    rng, devices = random.Random(seed), _devices(subject)
    for device in devices:
        feed, messages = subject.make(device), [one.message() for one in device.messages]
        for _ in range(max(payloads // len(devices), 1)):
            yield feed, mutated(messages, rng)


def _read(feed: Feed, message: Message) -> list[str] | None:
    """Return the readings, or None for what is refused in order.

    Raises:
        Broken: anything else was raised.
    """
    try:
        return feed(message)
    except DecodeError:
        return None
    except Exception as error:
        raise Broken(
            f"{type(error).__name__}: {error}; at {message.topic}: {message.payload[:200]!r},"
            " expected readings or a DecodeError"
        ) from error
