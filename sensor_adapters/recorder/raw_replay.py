"""Recorded messages as they are sent again: which, when, and to which board. No I/O."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sensor_adapters.recorder.topic_filter import matches
from sensor_adapters.replay import Sent
from sensor_adapters.samples import US_PER_S
from sensor_adapters.topics import Message, TopicError, parse_in


def as_sent(
    messages: Iterable[Message],
    filters: Sequence[str] = (),
    seconds: float | None = None,
    *,
    retained: bool = False,
) -> Iterator[Sent]:
    """Yield messages in their order, at the times at which they were received.

    Args:
        messages: in the order in which they were received.
        filters: topics to send; none means all.
        seconds: of the recording that are sent, from its first message on.
        retained: leave those retained that were; else none is.
    """
    first_us = at_us = None
    chosen: dict[str, bool] = {}
    for message in messages:
        first_us = message.received_us if first_us is None else first_us
        if seconds is not None and message.received_us - first_us >= seconds * US_PER_S:
            return
        # A clock that was set back must not hold the rest up.
        at_us = message.received_us if at_us is None else max(at_us, message.received_us)
        topic = message.topic
        if topic not in chosen:
            chosen[topic] = not filters or any(matches(one, topic) for one in filters)
        if chosen[topic]:
            yield Sent(at_us, topic, message.payload, message.qos, message.retained and retained)


def boards(counts: Mapping[str, int]) -> Counter[tuple[str, str]]:
    """Return how many messages are for which board (site, node), from how many a topic has."""
    found: Counter[tuple[str, str]] = Counter()
    for topic, count in counts.items():
        try:
            parsed = parse_in(topic)
        except TopicError:
            continue
        found[parsed.site, parsed.node] += count
    return found
