"""What is wrong with the board, and what to do about it: short texts from what health found. Pure.

``ok`` is said only where this finds nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GB, MB = 1e9, 1e6
LOST_SHARE = 0.01
STUCK_S = 60.0
SLOW_RATE, SURE_S = 0.6, 50.0
"""Of what a model was trained on; over so long at least: devices send in batches."""
CLOCK_S = 2.0
"""Transport and batches take as long; more than that, a clock is off."""
MOST_QUEUED = 10_000
MOST_UNSENT = 1_000
LEAST_FREE_BYTES = 500 * 10**6
MOST_WAL_BYTES = 64 * 2**20
CALL_SHARE = 0.25
"""Of a step's length that a model's call may take."""


@dataclass(frozen=True)
class Board:
    """What is settled when the board starts."""

    broker: str
    """HOST:PORT."""
    base: str
    silence_s: float
    lateness_s: float
    write_budget_bytes: float
    """A day; 0: no budget."""
    adapters: Mapping[str, str]
    """By stream, ``pack-1/scanner``."""
    needed_hz: Mapping[str, float]
    """Rows a second that the models look at, by stream; only of sampled ones."""


def problems(board: Board, body: Mapping[str, Any]) -> list[str]:
    """Return what is wrong, the most telling first; nothing if all is well."""
    found = _broker(board, body)
    for name, stream in body["devices"].items():
        found += _stream(board, name, stream, body)
    found += _clocks(board, body["devices"])
    found += [f"too slow for all its models: {text}" for text in body["degraded"]]
    found += _queues(body)
    found += _disk(board, body["disk"])
    found += _machine(body)
    for name, model in body["models"].items():
        if model["p99_ms"] > model["budget_ms"]:
            found.append(
                f"model {name} takes {model['p99_ms']:.0f} ms a call, it has"
                f" {model['budget_ms']:.0f}: fewer stations, or a smaller model"
            )
    return found


def _broker(board: Board, body: Mapping[str, Any]) -> list[str]:
    if body["connected"]:
        return []
    return [f"no broker at {board.broker}: is it running, and is the network up?"]


def _stream(
    board: Board, name: str, stream: Mapping[str, Any], body: Mapping[str, Any]
) -> list[str]:
    found = _presence(board, name, stream, body)
    minute = stream["minute"]
    if minute["rejected"]:
        found.append(
            f"{minute['rejected']} payloads of {name} in the last minute could not be used: the"
            " journal says why"
        )
    if minute["late"]:
        found.append(
            f"{minute['late']} readings of {name} in the last minute came after their time was"
            " closed and were left out: look at its network and its clock, or raise time.lateness_s"
        )
    if minute["lost"] > LOST_SHARE * (minute["lost"] + minute["messages"]):
        found.append(
            f"{minute['lost']} messages of {name} were lost in the last minute,"
            f" {minute['messages']} came: look at its radio, and at the broker's"
            " max_queued_messages"
        )
    if stream["unchanged_s"] > STUCK_S and stream["state"] == "ok":
        found.append(
            f"{name} has given the same values for {stream['unchanged_s']:.0f} s: is it stuck?"
        )
    needed_hz, rate_hz = board.needed_hz.get(name, 0.0), stream["rate_hz"]
    is_sure = stream["state"] == "ok" and stream["rate_over_s"] >= SURE_S
    if is_sure and rate_hz is not None and rate_hz < SLOW_RATE * needed_hz:
        found.append(
            f"{name} gives {rate_hz:g} readings a second, its models were trained on"
            f" {needed_hz:g}: look at its settings"
        )
    return found


def _presence(
    board: Board, name: str, stream: Mapping[str, Any], body: Mapping[str, Any]
) -> list[str]:
    """Return that a stream does not come; nothing while the broker is what is missing."""
    state, status = stream["state"], stream["status"]
    if not body["connected"] or state in ("ok", "late") or status == "stopped":
        return []
    if status == "offline":
        return [f"{name} has gone offline without a word, its will says: is it on?"]
    if state == "unknown":
        if body["uptime_s"] <= board.silence_s:
            return []
        station, device = name.split("/")
        topic = f"{board.base}/{station}/in/{board.adapters[name]}/{device}"
        return [
            f"connected but nothing has come from {name} since the start {body['uptime_s']:.0f} s"
            f" ago: is it on, and does it publish to {topic}?"
        ]
    return [
        f"connected but nothing comes from {name} for {stream['age_s']:.0f} s: is it on, and within"
        " reach?"
    ]


def _clocks(board: Board, streams: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return whose clock differs from the board's, where another one at its station agrees."""
    known = {n: s["behind_s"] for n, s in streams.items() if s["behind_s"] is not None}
    agreeing = {name.split("/")[0] for name, off_s in known.items() if abs(off_s) <= CLOCK_S}
    found = []
    for name, behind_s in known.items():
        is_off = not -CLOCK_S <= behind_s <= CLOCK_S + board.lateness_s
        if is_off and name.split("/")[0] in agreeing:
            how = "behind" if behind_s > 0 else "ahead"
            found.append(
                f"the clock of {name} is {abs(behind_s):.1f} s {how} the board's: set it, by NTP"
                " if it can"
            )
    return found


def _queues(body: Mapping[str, Any]) -> list[str]:
    found = []
    if body["queued"] > MOST_QUEUED:
        found.append(f"{body['queued']} messages wait to be looked at: the board is too slow")
    if body["connected"] and body["outbox"] > MOST_UNSENT:
        found.append(
            f"{body['outbox']} segments wait for a broker that is there: may it be published to"
            f" {body['base']}/#?"
        )
    return found


def _disk(board: Board, disk: Mapping[str, Any]) -> list[str]:
    found = []
    if disk["free_bytes"] is not None and disk["free_bytes"] < LEAST_FREE_BYTES:
        found.append(f"only {disk['free_bytes'] / MB:.0f} MB are free beside the log: make room")
    if disk["wal_bytes"] > MOST_WAL_BYTES:
        found.append(
            f"the write-ahead log has grown to {disk['wal_bytes'] / MB:.0f} MB: who keeps a query"
            " open?"
        )
    daily = disk["written_bytes_per_day"]
    if daily is not None and 0 < board.write_budget_bytes < daily:
        found.append(
            f"{daily / GB:.1f} GB a day are written, the budget is"
            f" {board.write_budget_bytes / GB:.1f}: raise log.checkpoint_s, let the broker allow"
            " more on its way, or raise health.write_budget_mb_per_day"
        )
    return found


def _machine(body: Mapping[str, Any]) -> list[str]:
    found = [
        f"{zone} is at {body['temperatures_c'][zone]:.0f} °C, where the machine slows down: cool it"
        for zone in body["too_hot"]
    ]
    if body["slowed"]:
        found.append("the kernel holds CPU or GPU back for the heat: cool the machine")
    return found
