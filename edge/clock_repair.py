"""Rows made by a clock that was wrong, set right once it is: SQL for the log's gate."""

from sqlite3 import Connection
from typing import Literal

from edge.board_clock import LEAP_US
from edge.records import ClockRecord

TIMES = {
    "segments": ("start_us", "end_us", "emitted_us"),
    "gaps": ("start_us", "end_us"),
    "switches": ("at_us",),
    "device_states": ("first_us", "last_us"),
}
"""Every column that holds a session's time."""
ELSEWHERE_US = 10**18
"""Rows are moved by way of this, since a time is part of their key and must not meet another's."""
UNSYNCED = """
INSERT INTO unsynced_sessions (station, session, boot_id, base_us) VALUES (?, ?, ?, ?)
ON CONFLICT (station, session) DO NOTHING
"""
_OPEN = "station = ? AND boot_id = ? AND NOT settled"


def settle(connection: Connection, record: ClockRecord) -> int:
    """Do what a clock that was set, or found to be right, asks for; return the rows moved."""
    of = (record.station, record.boot_id)
    near = f"{_OPEN} AND abs(base_us - ?) < {LEAP_US}"
    far = f"{_OPEN} AND abs(base_us - ?) >= {LEAP_US}"
    what: Literal["follows", "differs", "synced"] = record.what
    if what == "synced":
        connection.execute(
            f"DELETE FROM unsynced_sessions WHERE {near} AND shift_us = 0", (*of, record.base_us)
        )
        connection.execute(
            f"UPDATE unsynced_sessions SET settled = 1 WHERE {near}", (*of, record.base_us)
        )
        return 0
    if what == "differs":
        connection.execute(
            f"DELETE FROM unsynced_sessions WHERE {far} AND shift_us = 0", (*of, record.base_us)
        )
        return 0
    moved = 0
    query = f"SELECT session, base_us FROM unsynced_sessions WHERE {far}"
    for session, base_us in connection.execute(query, (*of, record.base_us)).fetchall():
        moved += _move(connection, record.station, session, record.base_us - base_us)
    connection.execute(
        f"UPDATE unsynced_sessions SET shift_us = shift_us + ? - base_us, base_us = ? WHERE {far}",
        (record.base_us, record.base_us, *of, record.base_us),
    )
    return moved


def _move(connection: Connection, station: str, session: int, by_us: int) -> int:
    """Add to all times of a session; return how many rows that are."""
    moved = 0
    for table, columns in TIMES.items():
        for step_us in (by_us + ELSEWHERE_US, -ELSEWHERE_US):
            sums = ", ".join(f"{column} = {column} + ?" for column in columns)
            done = connection.execute(
                f"UPDATE {table} SET {sums} WHERE station = ? AND session = ?",
                (*[step_us] * len(columns), station, session),
            )
        moved += done.rowcount
    return moved
