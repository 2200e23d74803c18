"""What of systemctl the installation uses, for units below $BOARD: real processes, no systemd."""

import os
import pathlib
import signal
import subprocess
import sys
import time

BOARD = pathlib.Path(os.environ["BOARD"])
STATE = BOARD / "run/fake-systemd"
STATE.mkdir(parents=True, exist_ok=True)


def below(word):
    return (
        f"{BOARD}{word}"
        if word.startswith(("/opt/solosense", "/etc/solosense", "/var/lib"))
        else word
    )


def lines(unit, key):
    text = (BOARD / f"etc/systemd/system/{unit}.service").read_text()
    found = [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]
    return [[below(word) for word in line.split()] for line in found]


def pid(unit):
    try:
        found = int((STATE / unit).read_text())
        state = pathlib.Path(f"/proc/{found}/stat").read_text().rpartition(")")[2].split()[0]
        return 0 if state == "Z" else found
    except (OSError, ValueError):
        return 0


def stop(unit):
    if number := pid(unit):
        os.kill(number, signal.SIGTERM)
        while pid(unit):
            time.sleep(0.01)


command, *rest = sys.argv[1:]
unit = next((one.removesuffix(".service") for one in reversed(rest) if not one.startswith("-")), "")
is_quiet = command == "-q"
if is_quiet:
    command = rest[0]
with (STATE / "asked").open("a") as asked:
    asked.write(f"{command} {unit}\n")
if command == "restart" and unit != "mosquitto":
    stop(unit)
    for words in lines(unit, "ExecStartPre"):
        subprocess.run(words, check=True)
    (words,) = lines(unit, "ExecStart")
    said = (STATE / f"{unit}.log").open("ab")
    started = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
    )
    (STATE / unit).write_text(str(started.pid))
    time.sleep(0.1)
elif command == "stop":
    stop(unit)
elif command == "show":
    print(pid(unit))
elif command == "is-active":
    running = pid(unit) or unit == "mosquitto"
    if not is_quiet:
        print("active" if running else "inactive")
    sys.exit(0 if running else 3)
elif command == "is-failed":
    sys.exit(1)
