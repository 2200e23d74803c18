"""deploy.sh on a Debian that nobody has touched: ``python -m tests.fresh_root --arch amd64``.

amd64: a fresh root is booted with a systemd of its own (systemd-nspawn); this machine is the laptop
that installs over ssh: twice, a newer release, one that does not work, back, killed, hung, away.
arm64: the same root for a Jetson's processor under qemu, without systemd: the demonstration, and an
installation that starts nothing. Both need root, debootstrap and a mirror; nothing stays behind.
"""

import argparse
import contextlib
import datetime
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests import own_adapter
from tests.sensor_adapters.camera_scene import one_stage

ROOT = Path(__file__).parents[1]
SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
MAGIC = (
    rb":qemu-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    rb":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
    rb":/usr/bin/qemu-aarch64-static:F"
)
NEEDED = {
    "amd64": ("debootstrap", "systemd-nspawn", "nsenter", "ssh", "ssh-keygen"),
    "arm64": ("debootstrap", "qemu-aarch64-static"),
}
PORT = 2222
MOST_EXPOSED = 3.0
"""As ``systemd-analyze security`` rates: 0 is not at all, 10 is utterly."""
SEEN = ("PIP_", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""What of the environment says where pip finds packages here, and whom it trusts."""


BROKER = """version = 1
site = "my-site"
node = "board-1"
{more}
[broker]
host = "127.0.0.1"
port = {port}
username = "{user}"
password_file = "broker/secrets/{user}"
tls = true
ca_file = "broker/ca.crt"

[outbox]
path = "/var/lib/solosense/{user}.outbox"
"""
ADAPTERS = (
    BROKER
    + """
[devices.balance]
station = "pack-1"
adapter = "scale"
topic = "scales/1"
"""
)
CAMERA = (
    BROKER
    + """
[source]
url = "rtsp://127.0.0.1:8554/nobody"

[model]
pose = "/var/lib/solosense/models/one.onnx"

[stations.pack-1]
"""
)
DEVICES = """scanner = { adapter = "event", placement = "scanner" }
balance = { adapter = "state", placement = "shelf" }
cam-1 = { adapter = "pose", placement = "bench" }
"""


class WentWrong(Exception):
    """A step did not end as it should."""


@dataclass
class Report:
    """What was done, how long it took, how it ended."""

    rows: list[tuple[str, float, str]] = field(default_factory=list)

    def step(self, what: str, command: list[str], expect: int = 0, **more) -> str:
        """Run a command; return what it said."""
        start_s = time.monotonic()
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            stdin=subprocess.DEVNULL, errors="replace", **more,
        )  # fmt: skip
        self.row(what, time.monotonic() - start_s, f"exit {done.returncode}")
        if done.returncode != expect:
            raise WentWrong(
                f"{what}: exit {done.returncode}, expected {expect}\n{done.stdout[-4000:]}"
            )
        return done.stdout

    def row(self, what: str, took_s: float, how: str) -> None:
        """Note a step, and say it."""
        self.rows.append((what, took_s, how))
        print(f"{took_s:7.1f} s  {how:8}  {what}", flush=True)

    def table(self, arch: str) -> str:
        """Return the report as the guide holds it."""
        today = datetime.datetime.now(datetime.timezone.utc).date()
        lines = [f"Debian {SUITE} {arch}, {today}:", "", "| step | s | ended |", "|---|--:|---|"]
        return "\n".join([*lines, *(f"| {what} | {s:.0f} | {how} |" for what, s, how in self.rows)])


def fresh(folder: Path, arch: str, cache: Path | None, report: Report) -> Path:
    """Return a Debian of nothing but its base, with this one's settings of network and pip."""
    root, kept = folder / "root", cache / f"{SUITE}-{arch}.tar" if cache else None
    if kept and kept.exists():
        root.mkdir()
        report.step("unpack the kept base", ["tar", "xf", str(kept), "-C", str(root)])
    else:
        command = ["debootstrap", "--variant=minbase", f"--arch={arch}", SUITE, str(root), MIRROR]
        report.step("debootstrap", command)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            report.step("keep the base", ["tar", "cf", str(kept), "-C", str(root), "."])
    for file in ("/etc/resolv.conf", "/etc/pip.conf", "~/.config/pip/pip.conf"):
        if (found := Path(file).expanduser()).exists():
            copy(found, root / found.relative_to("/"))
    for name, value in os.environ.items():
        if name.startswith(SEEN) and Path(value).is_file():
            copy(Path(value), root / environment()[name].removeprefix("/"))
    return root


def copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, target)


def environment() -> dict[str, str]:
    """Return what a shell in the root is told; files it names lie in ``/etc/here`` there."""
    told = {
        name: f"/etc/here/{Path(value).name}" if Path(value).is_file() else value
        for name, value in os.environ.items()
        if name.startswith(SEEN)
    }
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return told | {"PATH": path, "HOME": "/root"}


def source(folder: Path, version: str = "", broken: str = "") -> Path:
    """Return a copy of the release as a person would unpack it; another version, or a bad one."""
    shutil.copytree(
        ROOT, folder, symlinks=True,
        ignore=shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", "demo-run"),
    )  # fmt: skip
    if version:
        project = folder / "pyproject.toml"
        project.write_text(
            re.sub(r'(?m)^version = ".*"', f'version = "{version}"', project.read_text())
        )
    if broken:
        service = folder / "edge" / "service.py"
        service.write_text(service.read_text() + f"\n\n{broken}\n")
    return folder


def carriers(folder: Path, root: Path, port: int = 8883) -> list[str]:
    """Make what a gateway with an adapter of one's own and a camera need; return the options."""
    packages = own_adapter.wheels(folder)
    adapters, camera = folder / "adapters.toml", folder / "camera-door.toml"
    adapters.write_text(ADAPTERS.format(port=port, user="gateway", more=""))
    camera.write_text(CAMERA.format(port=port, user="cam-1", more='device = "cam-1"'))
    models = root / "var/lib/solosense/models"
    models.mkdir(parents=True, exist_ok=True)
    one_stage(models / "one.onnx")
    return [
        "--adapters",
        str(adapters),
        "--packages",
        str(packages),
        "--camera",
        str(camera),
    ]


@contextlib.contextmanager
def booted(root: Path, report: Report) -> Iterator[list[str]]:
    """Boot the root's own systemd; yield the command that runs others in it."""
    start_s = time.monotonic()
    with (root.parent / "boot.log").open("wb") as log:
        machine = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot",
             "--console=pipe", "--resolv-conf=copy-host", f"--directory={root}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        init = wait_for(
            lambda: Path(f"/proc/{machine.pid}/task/{machine.pid}/children").read_text().split()
        )[0]
        inside = ["nsenter", "-t", init, "-m", "-u", "-i", "-n", "-p", "-C", "--", "env", "-i"]
        inside += [f"{name}={value}" for name, value in environment().items()]
        wait_for(lambda: "running" in said([*inside, "systemctl", "is-system-running"]))
        report.row("boot", time.monotonic() - start_s, "running")
        yield inside
    finally:
        machine.terminate()  # nspawn hands it on as a wish to halt
        try:
            machine.wait(30)
        except subprocess.TimeoutExpired:
            machine.kill()
            machine.wait()


def said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def wait_for(what, patience_s: float = 180.0):
    """Wait until something is so; return it."""
    end_s = time.monotonic() + patience_s
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError, IndexError):
            if found := what():
                return found
        time.sleep(0.2)
    raise WentWrong("waited in vain")


def amd64(folder: Path, cache: Path | None, report: Report) -> None:
    """The laptop's way: everything over ssh, to a board with systemd."""
    root = fresh(folder, "amd64", cache, report)
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "chroot", str(root)]
    report.step("apt-get update", [*quiet, "apt-get", "-qq", "update"])
    report.step(
        "a board's systemd and ssh server",
        [*quiet, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "systemd-sysv",
         "dbus", "openssh-server"],
    )  # fmt: skip
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True
    )
    (root / "root/.ssh").mkdir(mode=0o700)
    (root / "root/.ssh/authorized_keys").write_text((folder / "key.pub").read_text())
    told = " ".join(f'{name}="{value}"' for name, value in environment().items() if name != "HOME")
    (root / "etc/ssh/sshd_config.d/here.conf").write_text(
        f"Port {PORT}\nListenAddress 127.0.0.1\nSetEnv {told}\n"
    )
    ssh = f"ssh -p {PORT} -i {folder}/key -o LogLevel=ERROR"
    ssh += f" -o StrictHostKeyChecking=no -o UserKnownHostsFile={folder}/known"
    laptop = os.environ | {"SSH": ssh}
    releases = {
        "first": source(folder / "first"),
        "newer": source(folder / "newer", "9.9.1"),
        "unfit": source(folder / "unfit", "9.9.4", 'raise RuntimeError("made to fail")'),
        "broken": source(folder / "broken", "9.9.2", "Service.run = lambda self, stop: 1 / 0"),
        "deaf": source(folder / "deaf", "9.9.3", "Service.run = lambda self, stop: stop.wait()"),
    }

    def deploy(
        what: str, release: str, *arguments: str, expect: int = 0, contains: str = ""
    ) -> None:
        command = [str(releases[release] / "deploy.sh"), *arguments, "root@127.0.0.1"]
        text = report.step(what, command, expect, env=laptop)
        if contains not in text:
            raise WentWrong(f"{what}: {contains!r} was not said\n{text[-4000:]}")

    with booted(root, report) as inside:

        def property_of(name: str) -> str:
            return said([*inside, "systemctl", "show", "-p", name, "--value", "solosense-edge"])

        def restarted(how: str, signal_name: str, pid_before: str) -> None:
            start_s = time.monotonic()
            subprocess.run([*inside, "kill", f"-{signal_name}", pid_before], check=True)
            wait_for(
                lambda: (
                    property_of("MainPID") not in ("0", pid_before)
                    and property_of("SubState") == "running"
                )
            )
            report.row(how, time.monotonic() - start_s, "runs")

        wait_for(
            lambda: said([*laptop["SSH"].split(), "root@127.0.0.1", "echo", "there"]) == "there"
        )
        site = str(releases["first"] / "edge/install/site.toml")
        deploy(
            "install over ssh",
            "first",
            "install",
            "--site",
            site,
            contains="is installed and healthy",
        )
        deploy("install again", "first", "install", contains="nothing to do")
        deploy("status", "first", "status")
        silent = "nothing has come from pack-1/imu-rw"
        ask = [*inside, "solosense-edge", "health", "/etc/solosense/site.toml", "--json"]
        wait_for(lambda: silent in said(ask))
        deploy("status, half a minute on: no sensor", "first", "status", expect=1, contains=silent)
        if "lost the broker" in said([*inside, "journalctl", "-u", "solosense-edge"]):
            raise WentWrong("who asked for health pushed the board off its broker")
        with (root / "etc/solosense/site.toml").open("a") as file:
            file.write(DEVICES)
        for what, *command in (
            ("new devices: check", "solosense-edge", "check", "/etc/solosense/site.toml"),
            ("reload", "systemctl", "reload", "solosense-edge"),
            ("their accounts: install on the board", "solosense-deploy", "install"),
        ):
            report.step(what, [*inside, *command])
        if not (root / "etc/solosense/broker/secrets/scanner").exists():
            raise WentWrong("the new device has no account")
        wait_for(lambda: '"answered": true' in said(ask))
        deploy(
            "a gateway with an adapter of one's own, and a camera", "first", "install",
            *carriers(folder, root), contains="is installed and healthy",
        )  # fmt: skip
        camera = "solosense-camera@door"
        said_by = [*inside, "journalctl", "-q", "-u", "solosense-adapters", "-u", camera]
        wait_for(lambda: "running /etc/solosense/adapters.toml" in said(said_by))
        wait_for(lambda: "running /etc/solosense/camera-door.toml on onnx (CPU)" in said(said_by))
        names = ("solosense-edge", "solosense-bridge", "solosense-adapters", camera)
        units = [f"/etc/systemd/system/{re.sub('@.*', '@', name)}.service" for name in names]
        text = report.step("verify the units", [*inside, "systemd-analyze", "verify", *units])
        if "solosense" in text:
            raise WentWrong(f"systemd has something to say of the units\n{text}")
        for name in names:
            text = report.step(
                f"rate {name} from within",
                [*inside, "systemd-analyze", "security", f"{name}.service"],
            )
            found = re.search(r"exposure level.*?: (\S+) \S+", text)
            report.row(found[0], 0, "")  # type: ignore[index]
            if float(found[1]) >= MOST_EXPOSED:  # type: ignore[index]
                raise WentWrong(f"{name} is exposed\n{text}")
        kept = [f"{name}={property_of(name)}" for name in ("Type", "WatchdogUSec", "User")]
        report.row(", ".join(kept), 0, "")
        restarted("killed (SIGKILL): started again by systemd", "KILL", property_of("MainPID"))
        restarted("hung (SIGSTOP): its watchdog bites", "STOP", property_of("MainPID"))
        deploy("update", "newer", "install", contains="is installed and healthy")
        deploy(
            "an update that can not even start is not switched to", "unfit", "install",
            expect=1, contains="what ran goes on",
        )  # fmt: skip
        for name in ("broken", "deaf"):
            deploy(
                f"an update that is {name} goes back", name, "install", "--patience", "20",
                expect=1, contains="runs again",
            )  # fmt: skip
        deploy("rollback", "newer", "rollback", contains="runs again")
        deploy("update once more", "newer", "install")
        deploy("rollback with the log", "newer", "rollback", "--database", contains="runs again")
        deploy("status", "first", "status")
        deploy("uninstall", "first", "uninstall")
        again = ["--packages", str(folder / "wheels")]
        deploy(
            "install after that", "first", "install", *again, contains="is installed and healthy"
        )
        deploy("uninstall, purge", "first", "uninstall", "--purge")
        left = said(
            [*inside, "find", "/etc", "/opt", "/usr/local", "/var/lib", "-name", "*solosense*"]
        )
        report.row(f"left behind: {left or 'nothing'}", 0, "")


@contextlib.contextmanager
def arm_programs_run() -> Iterator[None]:
    """Let the kernel start qemu for a Jetson's programs; take that back in the end."""
    subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], check=True)
    entry = BINFMT / "qemu-aarch64"
    was_there = entry.exists()
    if not was_there:
        (BINFMT / "register").write_bytes(MAGIC)
    try:
        yield
    finally:
        if not was_there:
            entry.write_text("-1")


def arm64(folder: Path, cache: Path | None, report: Report) -> None:
    """A Jetson's processor, emulated: everything has its wheel and does its work."""
    with arm_programs_run():
        root = fresh(folder, "arm64", cache, report)
        (root / "usr/sbin/policy-rc.d").write_text(
            "#!/bin/sh\nexit 101\n"
        )  # nothing is started in here
        (root / "usr/sbin/policy-rc.d").chmod(0o755)
        source(root / "opt/release")
        # No sysfs: it would show this machine's processor, at which LiteRT's look at its own fails.
        for kind, where in (("proc", "proc"), ("devtmpfs", "dev")):
            subprocess.run(["mount", "-t", kind, kind, str(root / where)], check=True)
        inside = ["chroot", str(root), "env", "-i", *(f"{n}={v}" for n, v in environment().items())]
        inside += ["DEBIAN_FRONTEND=noninteractive"]
        deploy = [*inside, "/opt/release/deploy.sh"]
        report.step("apt-get update", [*inside, "apt-get", "-qq", "update"])
        example = (root / "opt/release/edge/install/site.toml").read_text()
        site = "/opt/site.toml"  # a port of its own: another board may be under test here
        (root / site.removeprefix("/")).write_text(example.replace("8883", "18883"))
        report.step("install --no-start", [*deploy, "install", "--no-start", "--site", site])
        with (root / "etc/solosense/site.toml").open("a") as file:
            file.write(DEVICES)
        (root / "opt/given").mkdir()
        given = [
            one.replace(str(root), "") for one in carriers(root / "opt/given", root, port=18883)
        ]
        report.step("a gateway and a camera", [*deploy, "install", "--no-start", *given])
        text = report.step("install --no-start again", [*deploy, "install", "--no-start"])
        if "nothing to do" not in text:
            raise WentWrong(f"the second installation changed something\n{text}")
        size = said(["du", "-sh", str(root / "opt/solosense/releases")]).split()[0]
        report.row(f"the release takes {size}", 0, "")
        text = report.step("demo", [*deploy, "demo", "--recording", "virtual:seed=303,boxes=2"])
        print(text[-2500:])
        report.step("uninstall --purge", [*deploy, "uninstall", "--no-start", "--purge"])


def main() -> int:
    """Do it all in a mount namespace of our own, so that no mount is left behind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", choices=NEEDED, required=True)
    parser.add_argument(
        "--cache", type=Path, help="folder in which the fresh base is kept as it was"
    )
    parser.add_argument("--namespace", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    missing = [one for one in NEEDED[told.arch] if shutil.which(one) is None]
    if os.geteuid() != 0 or missing:
        print(f"needs root and {', '.join(missing or NEEDED[told.arch])}", file=sys.stderr)
        return 2
    if not told.namespace:
        again = [sys.executable, "-m", "tests.fresh_root", *sys.argv[1:], "--namespace"]
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", *again], check=False
        ).returncode
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    with tempfile.TemporaryDirectory(prefix="fresh-root-", dir="/var/tmp") as name:
        folder = Path(name)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)  # nspawn wants one
        try:
            (amd64 if told.arch == "amd64" else arm64)(folder, told.cache, report)
        except WentWrong as error:
            print(f"\n{error}", file=sys.stderr)
            return 1
        finally:
            for line in reversed(Path("/proc/mounts").read_text().splitlines()):
                if (where := line.split()[1]).startswith(name):
                    subprocess.run(["umount", "-l", where], check=False)
    print(f"\n{report.table(told.arch)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
