"""Recordings of one's own as a user would have them: the virtual station's, as CSV files.

Times in milliseconds, accelerations in g, rates in degrees a second, boxes in pixels by their
corner, a tape dispenser that says ON and OFF: nothing is as Solosense wants it.
"""

import csv
from pathlib import Path

import numpy as np

from sensor_adapters.recording import Recording
from sensor_adapters.recordings import open_recording
from sensor_adapters.samples import Samples

IMAGE = (1280, 720)
DESCRIPTION = """\
version = 1
subject = "{subject}"

[devices.imu-rw]
file = "right_wrist.csv"
adapter = "imu"
placement = "right_wrist"
rate_hz = 30
time = {{ column = "t", unit = "ms" }}
columns.acc_x = {{ column = "ax", unit = "g" }}
columns.acc_y = {{ column = "ay", unit = "g" }}
columns.acc_z = {{ column = "az", unit = "g" }}
columns.gyr_x = {{ column = "gx", unit = "deg/s" }}
columns.gyr_y = {{ column = "gy", unit = "deg/s" }}
columns.gyr_z = {{ column = "gz", unit = "deg/s" }}

[devices.cam]
file = "camera.csv"
adapter = "pose"
placement = "bench"
rate_hz = 10
image = [1280, 720]
time = {{ column = "t", unit = "ms" }}
columns.box_left = {{ column = "x", unit = "px" }}
columns.box_top = {{ column = "y", unit = "px" }}
columns.box_w = {{ column = "w", unit = "px" }}
columns.box_h = {{ column = "h", unit = "px" }}

[devices.scanner]
file = "scans.csv"
adapter = "event"
placement = "scanner"
time = {{ column = "t", unit = "ms" }}

[devices.tape]
file = "tape.csv"
adapter = "state"
placement = "tape"
time = {{ column = "t", unit = "ms" }}
columns.on = {{ column = "state", on = "ON", off = "OFF" }}
"""


def write_table(path: Path, header: str, rows) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)


def _of(recording: Recording, placement: str) -> Samples:
    return next(s for s in recording.samples if recording.devices[s.device].placement == placement)


def _cells(values) -> list[str]:
    return ["" if np.isnan(v) else f"{v:.7g}" for v in values]


def write_recording(folder: Path, seed: int, boxes: int = 2) -> Recording:
    """Write one recording's files; return the simulation that they were made from."""
    simulated = open_recording(f"virtual:seed={seed},boxes={boxes}")
    folder.mkdir(parents=True)
    (folder / "recording.toml").write_text(DESCRIPTION.format(subject=f"worker-{seed}"))
    wrist = _of(simulated, "right_wrist")
    values = wrist.values / np.repeat([9.80665, np.pi / 180], 3)
    write_table(
        folder / "right_wrist.csv",
        "t,ax,ay,az,gx,gy,gz",
        ([t / 1000, *_cells(v)] for t, v in zip(wrist.time_us.tolist(), values, strict=True)),
    )
    camera = _of(simulated, "bench")
    centre, size = camera.values[:, 1:3], camera.values[:, 3:5]
    pixels = np.concatenate([centre - size / 2, size], axis=1) * (IMAGE * 2)
    write_table(
        folder / "camera.csv",
        "t,x,y,w,h",
        ([t / 1000, *_cells(v)] for t, v in zip(camera.time_us.tolist(), pixels, strict=True)),
    )
    scanner, tape = _of(simulated, "scanner"), _of(simulated, "tape")
    scans = scanner.time_us[scanner.values[:, 0] == 1]
    write_table(folder / "scans.csv", "t", ([t / 1000] for t in scans.tolist()))
    changed = np.append(True, np.diff(tape.values[:, 0]) != 0)
    states = zip(tape.time_us[changed].tolist(), tape.values[changed, 0], strict=True)
    write_table(
        folder / "tape.csv", "t,state", ([t / 1000, "ON" if on else "OFF"] for t, on in states)
    )
    write_table(
        folder / "labels.csv",
        "level,label,start,end,box",
        ([t.level, t.label, t.start_us / 1000, t.end_us / 1000, t.box] for t in simulated.truth),
    )
    return simulated
