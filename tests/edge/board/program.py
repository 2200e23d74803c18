"""A program that starts at once: check, health and run as the installation knows them.

In its release's folder, a file `ill` makes it unhealthy, and `newer` makes it turn the log into one
that only it can write to.
"""

import json
import os
import pathlib
import shutil
import sqlite3
import sys
import time

release = pathlib.Path(__file__).resolve().parents[2]
command = sys.argv[1]
log = release.parents[3] / "var/lib/solosense/solosense.db"
if command == "check":
    print('{"bundles": [{"bundle": "imu", "engine": "litert (CPU)"}]}')
elif command == "health":
    is_ill = (release / "ill").exists()
    print(json.dumps({"answered": not is_ill, "problems": ["nothing comes from imu-rw"]}))
    sys.exit(1)
elif command == "db":
    shutil.copy(log, sys.argv[-1])
else:
    if not log.exists():
        shutil.copy(os.environ["EMPTY_LOG"], log)
    with sqlite3.connect(log) as db:
        db.execute("CREATE TABLE IF NOT EXISTS written (release TEXT)")
        db.execute("INSERT INTO written VALUES (?)", (release.name,))
        if (release / "newer").exists():
            db.execute(
                "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
                " SELECT migration_set, '9999_newer', applied_at FROM _sqlite_migrations LIMIT 1"
            )
    db.close()
    (release.parents[3] / "run/fake-systemd/begun").touch()
    time.sleep(3600)
