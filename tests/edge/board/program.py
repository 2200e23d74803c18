"""A program that starts at once: check, health and run as the installation knows them.

In its release's folder, a file `ill` makes it unhealthy, `lame` ends what runs beside the board,
and `newer` makes it turn the log into one that only it can write to.
"""

import json
import os
import pathlib
import shutil
import sqlite3
import sys
import time

RELEASE = pathlib.Path(__file__).resolve().parents[2]


def run(root: pathlib.Path) -> None:
    """Say that it began, and go on."""
    (root / "run/fake-systemd/begun").touch()
    time.sleep(3600)


def write(log: pathlib.Path) -> None:
    """Write to the log who is at work."""
    if not log.exists():
        shutil.copy(os.environ["EMPTY_LOG"], log)
    with sqlite3.connect(log) as db:
        db.execute("CREATE TABLE IF NOT EXISTS written (release TEXT)")
        db.execute("INSERT INTO written VALUES (?)", (RELEASE.name,))
        if (RELEASE / "newer").exists():
            db.execute(
                "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
                " SELECT migration_set, '9999_newer', applied_at FROM _sqlite_migrations LIMIT 1"
            )
    db.close()


def main(command: str) -> int:
    """Do what is asked, as the installation asks it."""
    root = RELEASE.parents[3]
    log = root / "var/lib/solosense/solosense.db"
    if command == "check":
        print('{"bundles": [{"bundle": "imu", "engine": "litert (CPU)"}]}')
    elif command == "health":
        is_ill = (RELEASE / "ill").exists()
        print(json.dumps({"answered": not is_ill, "problems": ["nothing comes from imu-rw"]}))
        return 1
    elif command == "db":
        shutil.copy(log, sys.argv[-1])
    elif (RELEASE / "lame").exists() and pathlib.Path(__file__).name != "solosense-edge":
        return 2
    else:
        if pathlib.Path(__file__).name == "solosense-edge":
            write(log)
        run(root)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
