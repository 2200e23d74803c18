"""A look at a file that is to be the log: whose, of which version, whole? It only reads."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlite_utils import Database, Migrations

from edge.storage.beside import beside, size_bytes
from edge.storage.errors import LogDamaged, LogError, explained

SCHEMA = Path(__file__).parents[1] / "schema"
MIGRATION_SET = "solosense.edge"
BUSY_S = 5.0
OURS = b"_sqlite_migrations"
START_BYTES = 1 << 20
"""As much of a file is read for signs that it was a log."""


@contextmanager
def reading(path: Path, *, briefly: bool = True) -> Iterator[sqlite3.Connection]:
    """Open a log for reading only; briefly, where nobody has it open: no file is made beside it.

    Raises:
        LogError: it can not be read.
    """
    is_still = briefly and not any(beside(path, tail).exists() for tail in ("-wal", "-journal"))
    address = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if is_still else ''}"
    with (
        explained(path),
        closing(sqlite3.connect(address, timeout=BUSY_S, uri=True)) as connection,
    ):
        yield connection


def migrations() -> Migrations:
    """Return the files of ``edge/schema`` as migrations, in order of their numbers."""
    found = Migrations(MIGRATION_SET)
    for file in sorted(SCHEMA.glob("*.sql")):

        def migrate(db: Database, sql: str = file.read_text(encoding="utf-8")) -> None:
            db.executescript(sql)

        found(name=file.stem)(migrate)
    return found


def newest_version() -> int:
    """Return the number of the schema that this program writes."""
    return _number(max(SCHEMA.glob("*.sql")).stem)


def look(path: Path, *, whole: bool) -> int:
    """Return the version of the schema of the log at ``path``; 0: there is nothing yet.

    Args:
        path: of the log.
        whole: read all of it for damage (SQLite's ``quick_check``), not only what names it.

    Raises:
        LogDamaged: it was a log and is broken.
        LogError: it is something else, a newer program's, or can not be read.
    """
    if not size_bytes(path):
        return 0
    try:
        with reading(path) as connection:
            version = _version(path, connection)
            if version:
                _refuse_short(path, connection)
            damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if whole else "ok"
    except LogDamaged as error:
        if has_signs(path):
            raise
        raise LogError(f"{error}, or no file") from error
    if damage != "ok":
        raise LogDamaged(f"{path}: found damage ({damage}), expected an intact log")
    return version


def roll_back(path: Path) -> None:
    """Let SQLite undo what was cut off while a log was created or vacuumed: only then it journals.

    Raises:
        LogError: it can not.
    """
    if size_bytes(beside(path, "-journal")):
        with explained(path), closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()


def examined(path: Path) -> tuple[list[str], dict[str, int]]:
    """Return all damage that SQLite finds in a log, and its tables' rows as far as it has none.

    Raises:
        LogError: it can not be read.
    """
    with reading(path) as connection:
        damage = [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
        if damage != ["ok"]:
            return damage, {}
        orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
        tables = Database(connection, execute_plugins=False).table_names()
        counts = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in tables
            if not name.startswith("_")
        }
    return [f"{len(orphans)} rows refer to no model"] if orphans else [], counts


def has_signs(path: Path) -> bool:
    """Was this file a log of ours, by its first bytes? One of zeros holds nobody's work."""
    for file in (path, beside(path, "-wal")):
        if size_bytes(file):
            with file.open("rb") as content:
                start = content.read(START_BYTES)
            if OURS in start or (file == path and not any(start)):
                return True
    return False


def _version(path: Path, connection: sqlite3.Connection) -> int:
    """Return the schema's number; refuse a newer program's log and somebody else's database."""
    database = Database(connection, execute_plugins=False)
    applied = [step.name for step in migrations().applied(database)]
    tables = database.table_names()
    if tables and not applied:
        raise LogError(
            f"{path}: found a database of something else, with tables {', '.join(tables)};"
            " expected a log, or no file"
        )
    version = max(map(_number, applied), default=0)
    if version > newest_version():
        raise LogError(
            f"{path}: found schema version {version}, expected {newest_version()} or older:"
            " a newer program wrote this log; use that program"
        )
    return version


def _refuse_short(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse a file that ends before its last page; what the write-ahead log holds, it need not."""
    if size_bytes(beside(path, "-wal")):
        return
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    if (found := size_bytes(path)) < pages * page_bytes:
        raise LogDamaged(
            f"{path}: found {found} bytes, expected {pages * page_bytes}: it was cut short"
        )


def _number(name: str) -> int:
    """Return the number of a migration.

    >>> _number("0002_views")
    2
    """
    return int(name.split("_")[0])
