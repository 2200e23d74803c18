"""The C reference, compiled as its users would, and opened from Python."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FIRMWARE = REPOSITORY / "firmware_bridge" / "firmware"
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow")


def tool(name: str) -> str:
    """Return a compiler's path; skip aloud where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on this machine")
    return found


def build(compiler: str, *arguments: str | Path) -> None:
    """Compile, and fail with what the compiler says."""
    done = subprocess.run(
        [tool(compiler), *map(str, arguments), "-I", str(FIRMWARE)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


class WireFrame(ctypes.Structure):
    """``struct ssw_frame``."""

    _fields_ = [
        ("type", ctypes.c_uint8), ("stream", ctypes.c_uint8), ("seq", ctypes.c_uint16),
        ("time_us", ctypes.c_uint32), ("payload", ctypes.c_char_p), ("size", ctypes.c_size_t),
    ]  # fmt: skip


def library(folder: Path) -> ctypes.CDLL:
    """Return the C reference as a library of this machine, its sums checked as it runs."""
    path = folder / "wire.so"
    traps = ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")
    build(
        "gcc", *STRICT, "-D_DEFAULT_SOURCE", "-O2", *traps, "-shared", "-fPIC",
        FIRMWARE / "solosense_wire.c", "-o", path,
    )  # fmt: skip
    found = ctypes.CDLL(str(path))
    for name in ("ssw_encode", "ssw_hello", "ssw_schema", "ssw_channel", "ssw_sync_answer"):
        getattr(found, name).restype = ctypes.c_size_t
    found.ssw_crc32.restype = ctypes.c_uint32
    return found
