"""Which link of the chain is silent: broker, board, or a stream. Pure."""

from typing import Any

from edge.health.asking import Heard
from sensor_adapters.samples import US_PER_S


def verdict(heard: Heard, base: str, now_us: int) -> list[str]:
    """Return what is wrong, the first link first; nothing if all is well."""
    if heard.unreachable:
        return [f"no broker: {heard.unreachable}; is it running, and is the network up?"]
    if heard.answer is not None:
        found: list[str] = heard.answer["problems"]
        return found
    status = heard.status or {}
    state = status.get("state")
    if state is None:
        return [
            f"a broker, but no board has ever spoken as {base}: is solosense-edge run started, with"
            " this site and node, at this broker?"
        ]
    ago = _ago(status.get("ts"), now_us)
    if state == "stopped":
        return [f"a broker, but no board: it was stopped in order, started {ago} or later"]
    if state == "offline":
        return [
            "a broker, but no board: it went away without a word (killed, without power, or cut off"
            f" from the network); it had started {ago}"
        ]
    return [
        "a broker, and a board that says it is online and does not answer: it hangs, or has just"
        " been lost; look at its journal, start it again"
    ]


def _ago(at_us: Any, now_us: int) -> str:
    """Return how long ago something was.

    >>> _ago(0, 90_000_000), _ago(None, 5)
    ('90 s ago', 'at some time')
    """
    if not isinstance(at_us, int):
        return "at some time"
    return f"{max(now_us - at_us, 0) // US_PER_S} s ago"
