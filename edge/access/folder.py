"""Files as they should be: written where they differ, readable by mosquitto, secrets by nobody."""

import contextlib
import grp
import os
import pwd
import secrets
from pathlib import Path

SECRET_BYTES = 24
BROKER = "mosquitto"
"""User and group of the broker, where the system has them."""


class Folder:
    """A folder of access files; remembers what it changed."""

    def __init__(self, path: Path) -> None:
        """Take the folder, or make it."""
        self.path, self.changed = path, list[Path]()
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)
        for name in ("secrets", "clients"):
            (path / name).mkdir(exist_ok=True)
            (path / name).chmod(0o700)

    def state(self, path: Path | None) -> Path:
        """Return where the broker keeps what outlives it: here, or where its system's package does.

        That is where we are root: another user's broker may not write there.
        """
        if path is None and os.geteuid() == 0:
            with contextlib.suppress(KeyError):
                home = Path(pwd.getpwnam(BROKER).pw_dir)
                path = home if home.is_dir() else None
        if path is None:
            path = self.path / "state"
        if not path.exists():
            path.mkdir()
            self._to_broker(path, 0o700, owns=True)
        return path.resolve()

    def write(self, name: str, text: str) -> None:
        """Let a file for the broker hold this, whole or as it was; it is nobody else's to read."""
        path = self.path / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            self._put(path, text)
        self.for_broker(path)

    def for_broker(self, path: Path) -> None:
        """Let the broker read a file, and nobody else but its owner."""
        self._to_broker(path, 0o640)

    def holds(self, user: str) -> bool:
        """Is a user's secret here? It may have been taken away to where it is used."""
        return (self.path / "secrets" / user).exists()

    def secret(self, user: str) -> str:
        """Return a user's secret, the one that is there if one is."""
        path = self.path / "secrets" / user
        if not self.holds(user):
            self._put(path, f"{secrets.token_urlsafe(SECRET_BYTES)}\n")
        return path.read_text(encoding="utf-8").strip()

    def strangers(self, users: set[str]) -> list[str]:
        """Return the files of users that are no more."""
        found = [*(self.path / "secrets").iterdir(), *(self.path / "clients").iterdir()]
        return sorted(str(one) for one in found if one.stem not in users)

    def _put(self, path: Path, text: str) -> None:
        """Let a file hold this; after a power cut it is whole, or as it was."""
        beside = self.path / f"{path.name}.new"
        beside.touch(mode=0o600)
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        self.changed.append(path)

    def _to_broker(self, path: Path, mode: int, *, owns: bool = False) -> None:
        """Give a file to the broker's group, or to its user, as far as we may."""
        path.chmod(mode)
        with contextlib.suppress(KeyError, PermissionError):
            uid = pwd.getpwnam(BROKER).pw_uid if owns else -1
            os.chown(path, uid, grp.getgrnam(BROKER).gr_gid)
