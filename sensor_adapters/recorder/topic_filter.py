"""Which topics a subscription means: MQTT's filters with ``+`` and ``#``. No I/O.

OASIS MQTT 3.1.1, section 4.7.
"""

from collections.abc import Iterable

MOST_BYTES = 65_535


def check_filter(text: str) -> str:
    """Return a filter that a broker would take.

    >>> check_filter("act/v1/+/board-1/#")
    'act/v1/+/board-1/#'

    Raises:
        ValueError: it is empty or too long, ``#`` is not last, or a wildcard shares its level.
    """
    levels = text.split("/")
    if not text or len(text.encode(errors="replace")) > MOST_BYTES or "\0" in text:
        raise ValueError(f"topic {text[:40]!r}, expected 1 to {MOST_BYTES} bytes without NUL")
    if "#" in levels[:-1]:
        raise ValueError(f"topic {text!r}: # is not last, expected it at the end")
    for level in levels:
        if len(level) > 1 and ("#" in level or "+" in level):
            raise ValueError(f"topic {text!r}: {level!r}, expected + or # alone between slashes")
    return text


def matches(filter_: str, topic: str) -> bool:
    """Return whether a subscription would be sent a topic.

    >>> matches("zigbee2mqtt/#", "zigbee2mqtt/door"), matches("+/door", "a/b/door")
    (True, False)
    """
    if topic.startswith("$") and filter_[:1] in ("+", "#"):
        return False
    wanted, levels = filter_.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        levels = levels[: len(wanted)]  # "a/#" means "a", too
    return len(wanted) == len(levels) and all(
        one in ("+", level) for one, level in zip(wanted, levels, strict=True)
    )


def covers(wide: str, narrow: str) -> bool:
    """Return whether every topic of the one filter is one of the other.

    >>> covers("act/#", "act/+/in"), covers("+/in", "act/#")
    (True, False)
    """
    if narrow.endswith("#") and not wide.endswith("#"):
        return False
    return matches(wide, narrow.removesuffix("/#") if narrow != "#" else "#")


def without_covered(filters: Iterable[str]) -> list[str]:
    """Return the filters that no other one covers: a broker may send a topic once for each.

    >>> without_covered(["act/v1/#", "zigbee2mqtt/#", "act/v1/osaka/#", "act/v1/#"])
    ['act/v1/#', 'zigbee2mqtt/#']
    """
    kept: list[str] = []
    for one in filters:
        if not any(covers(other, one) for other in kept):
            kept = [other for other in kept if not covers(one, other)] + [one]
    return kept
