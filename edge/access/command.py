"""``solosense-edge access``: the broker's files, made from the site's configuration."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Annotated

import typer

from edge import config as configs
from edge.access import hosts as host_files, mosquitto_files as texts, operator
from edge.access.accounts import Account, accounts, said_by_nobody
from edge.access.certificates import RENEW_DAYS, Authority, CertificateError
from edge.access.folder import Folder
from edge.config import SiteConfig
from sensor_adapters.settings import ConfigError
from sensor_adapters.terminal import fail, say

TLS_PORT = 8883
MOST_SHOWN = 10
LOCAL = ("localhost", "127.0.0.1", "::1")
STAYS = {"edge", "operator"}
"""Whose secrets are used where they are made."""
SOON_AFTER_1970 = 1_600_000_000


def access(
    site: Annotated[Path, typer.Argument(metavar="SITE.TOML", help="The board's configuration.")],
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files go.")],
    bridge: Annotated[
        Path | None, typer.Option(help="bridge.toml; if left out, the one beside SITE.TOML.")
    ] = None,
    gateway: Annotated[
        Path | None, typer.Option(help="adapters.toml; if left out, the one beside SITE.TOML.")
    ] = None,
    camera: Annotated[
        list[Path] | None,
        typer.Option(
            help="camera.toml; repeat for several. Left out: it and camera-*.toml beside SITE.TOML."
        ),
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="With certificates; makes them.")] = False,
    certificates: Annotated[
        bool,
        typer.Option(
            "--require-certificates",
            help="With --tls: users are known by a certificate instead of a password.",
        ),
    ] = False,
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where the broker listens; 0.0.0.0: everywhere.")
    ] = "127.0.0.1",
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the broker keeps messages; left out: mosquitto's own folder for root, else"
            " a folder beside the files.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Make mosquitto's configuration, access list, passwords and certificates from a site's.

    What is there already is kept: secrets, keys, certificates that are good for a while. Run it
    again after a change of the site, or to renew certificates. A device whose secret was taken to
    it keeps it; without its line in `passwords` it gets a new one.
    """
    if certificates and not tls:
        fail("--require-certificates: found no --tls, expected it", 2)
    try:
        config = configs.load(site)
        beside = site.parent
        found = host_files.read(
            config,
            bridge or _there(beside / "bridge.toml"),
            gateway or _there(beside / "adapters.toml"),
            *(camera or [*beside.glob("camera.toml"), *sorted(beside.glob("camera-*.toml"))]),
        )
        users = accounts(config, found)
    except ConfigError as error:
        text = str(error)
        fail(text if ".toml" in text.split(":")[0] else f"{site}: {text}", 2)
    port = config.broker.port if config.broker.tls or not tls else TLS_PORT
    listener = texts.Listener(listen, port, tls, certificates)
    try:
        folder, ends = _written(to.resolve(), site.name, config, users, listener, state)
    except CertificateError as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"{error.filename or to}: {error.strerror}, expected a folder to write to", 2)
    changed = [str(one.relative_to(folder.path)) for one in folder.changed]
    strangers = folder.strangers({one.user for one in users})
    if as_json:
        body = {
            "folder": str(folder.path), "port": port, "changed": changed, "ends": ends,
            "users": {o.user: {"writes": o.writes, "reads": o.reads} for o in users},
            "of_nobody": strangers, "said_by_nobody": said_by_nobody(users),
        }  # fmt: skip
        print(json.dumps(body))
        return
    _said(users, folder, changed, strangers, ends, listener)


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _written(
    to: Path,
    site: str,
    config: SiteConfig,
    users: list[Account],
    listener: texts.Listener,
    state: Path | None,
) -> tuple[Folder, dict[str, str]]:
    """Write what is not yet as it should be; return the folder, and when certificates end."""
    folder, ends = Folder(to), dict[str, str]()
    old = _old(to / "passwords")
    missing = {one.user for one in users if not folder.holds(one.user)}
    away = missing & old.keys() - STAYS
    if listener.tls:
        if time.time() < SOON_AFTER_1970:
            raise CertificateError(
                f"this machine's clock says {time.strftime('%Y-%m-%d', time.gmtime())}, expected"
                " the time: certificates made now would be of no use"
            )
        authority = Authority(to, f"solosense {config.site} {config.node}")
        own = socket.gethostname()
        names = [*LOCAL, own, f"{own.partition('.')[0]}.local"]
        names += [config.broker.host, config.broker.server_name]
        names += [listener.address] if listener.address not in ("0.0.0.0", "::") else []
        server = authority.server(dict.fromkeys(one.lower() for one in names if one))
        made = [server, *(authority.client(o.user) for o in users if o.user not in away)]
        ends = {str(o.relative_to(to)): authority.ends(o) for o in (authority.ca, *made)}
        authority.ca.chmod(0o644)
        folder.for_broker(server)
        folder.for_broker(server.with_suffix(".key"))
        folder.changed += authority.changed
    lines = []
    for one in users:
        if one.user in away:
            lines.append(old[one.user])
            continue
        secret, line = folder.secret(one.user), old.get(one.user, "")
        is_kept = texts.is_of(line, one.user, secret)
        lines.append(
            line if is_kept else texts.hashed(one.user, secret, os.urandom(texts.SALT_BYTES))
        )
    folder.write("passwords", "\n".join(lines) + "\n")
    folder.write("acl", texts.acl(site, users))
    host = _reached(listener)
    text = operator.toml(
        to, host, listener.port, tls=listener.tls, certificate=listener.is_by_certificate
    )
    folder.write(operator.FILE, text)
    size = config.limits.payload_bytes
    folder.write("mosquitto.conf", texts.conf(site, to, folder.state(state), listener, size))
    return folder, ends


def _old(path: Path) -> dict[str, str]:
    """Return the lines of the passwords that are there, by user."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line.partition(":")[0]: line for line in lines}


def _said(
    users: list[Account], folder: Folder, changed: list[str], strangers: list[str],
    ends: dict[str, str], listener: texts.Listener,
) -> None:  # fmt: skip
    """Say who may what, what was done, and what is to be done."""
    for one in users:
        print(f"{one.user}: {one.about}")
        print("".join(f"    says   {topic}\n" for topic in one.writes), end="")
        print("".join(f"    hears  {topic}\n" for topic in one.reads), end="")
    path, shown = folder.path, ", ".join(changed[:MOST_SHOWN])
    more = f" and {len(changed) - MOST_SHOWN} more" if len(changed) > MOST_SHOWN else ""
    say(f"{path}: {shown or 'nothing'}{more} changed")
    for topic in said_by_nobody(users):
        say(f"nobody may say {topic}, which the gateway hears; name who does under [access.others]")
    for stranger in strangers:
        say(f"{stranger} is of nobody now; delete it, if nobody is to come back under that name")
    if ends:
        first, last = ends["server.crt"], ends["ca.crt"]
        say(
            f"certificates end on {first} (the authority on {last}); run this again within"
            f" {RENEW_DAYS} days before, and they are made anew, with the same keys"
        )
    say(f"start the broker with: mosquitto -c {path}/mosquitto.conf")
    if changed:
        say("one that runs takes new users, rights and certificates at SIGHUP, the rest at a start")
    lines = [f'host = "{_reached(listener)}"', f"port = {listener.port}", 'username = "edge"']
    lines.append(f'password_file = "{path}/secrets/edge"')
    if listener.tls:
        lines += ["tls = true", f'ca_file = "{path}/ca.crt"']
    if listener.is_by_certificate:
        lines += [f'cert_file = "{path}/clients/edge.crt"', f'key_file = "{path}/clients/edge.key"']
    say(
        "in the site's configuration, and likewise for the others:\n\n[broker]\n" + "\n".join(lines)
    )


def _reached(listener: texts.Listener) -> str:
    """Return an address by which the broker is reached on its own machine."""
    return "127.0.0.1" if listener.address in ("0.0.0.0", "::") else listener.address
