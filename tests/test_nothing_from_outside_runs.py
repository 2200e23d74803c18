"""Below trainer nothing that comes from outside is ever run: no shell, no pickle, no eval."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sensor_adapters", "firmware_bridge", "edge")
STARTS_PROGRAMS = {
    "edge/access/certificates.py": "openssl makes certificates; no shell, arguments one by one",
    "edge/bench.py": "the benchmark starts a board and a broker of its own",
    "edge/live_bench.py": "likewise",
}
"""Modules that may import subprocess, and why."""
OWN_PROCESSES = {
    "sensor_adapters/gateway/worker_process.py": "adapters run apart; bytes go to and fro",
    "sensor_adapters/gateway/device_worker.py": "its other end",
}
"""Modules that may import multiprocessing, and of its pipes ``send_bytes`` and ``recv_bytes``."""
IMPORTS_BY_NAME = {"sensor_adapters/kit/subject.py": "the author of an adapter names his module"}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "pty"}
CALLS = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
OF_OS = {"system", "popen", "startfile", "fork", "forkpty"}
NUMPY_LOADS = {"load", "fromregex", "genfromtxt"}


def problems(name: str, source: str) -> Iterator[str]:
    """Yield what a module may not do, each as ``line: what``."""
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Import(names=names):
                found = [one.name for one in names]
            case ast.ImportFrom(module=str(module)):
                found = [module, *(f"{module}.{one.name}" for one in node.names)]
            case _:
                found = []
        for one in found:
            if one.split(".")[0] in MODULES:
                yield f"{line}: imports {one}"
            if one.split(".")[0] == "subprocess" and name not in STARTS_PROGRAMS:
                yield f"{line}: imports subprocess"
            if one.split(".")[0] == "multiprocessing" and name not in OWN_PROCESSES:
                yield f"{line}: imports multiprocessing"
            if one.startswith("os.") and _is_of_os(one.removeprefix("os.")):
                yield f"{line}: imports {one}"
        if isinstance(node, ast.Call):
            yield from _calls(name, node)


def _is_of_os(name: str) -> bool:
    return name in OF_OS or name.startswith(("exec", "spawn", "posix_spawn"))


def _calls(name: str, node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func)
    said = {one.arg: ast.unparse(one.value) for one in node.keywords if one.arg}
    if called in CALLS:
        yield f"{node.lineno}: calls {called}"
    if called.startswith("os.") and _is_of_os(called.removeprefix("os.")):
        yield f"{node.lineno}: calls {called}"
    if called.startswith("asyncio.create_subprocess"):
        yield f"{node.lineno}: calls {called}"
    if said.get("shell", "False") != "False":
        yield f"{node.lineno}: starts a shell"
    root, _, last = called.rpartition(".")
    if root in ("np", "numpy") and last in NUMPY_LOADS and said.get("allow_pickle") != "False":
        yield f"{node.lineno}: calls {called} without allow_pickle=False"
    if said.get("allow_pickle", "False") != "False":
        yield f"{node.lineno}: allows pickle"
    if called.endswith("import_module") and name not in IMPORTS_BY_NAME:
        yield f"{node.lineno}: imports by name"
    if name in OWN_PROCESSES and last in ("send", "recv"):
        yield f"{node.lineno}: calls {called}, which pickles"
    if called in ("yaml.load", "torch.load"):
        yield f"{node.lineno}: calls {called}"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_below_trainer_runs_what_it_is_given(package):
    found = [
        f"{name}:{problem}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in [str(path.relative_to(ROOT))]
        for problem in problems(name, path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("name", [*STARTS_PROGRAMS, *OWN_PROCESSES, *IMPORTS_BY_NAME])
def test_who_is_named_as_an_exception_is_one(name):
    assert list(problems("another.py", (ROOT / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from pickle import loads", "import subprocess", "eval('1')",
        "import os; os.system('ls')", "from os import system", "import os; os.execv('a', [])",
        "import numpy as np; np.load('a')", "import numpy as np; np.load('a', allow_pickle=True)",
        "exec('1')", "__import__('a')", "import importlib; importlib.import_module('a')",
        "import marshal", "run('ls', shell=True)", "import multiprocessing",
    ],
)  # fmt: skip
def test_a_slip_is_seen(line):
    assert list(problems("a.py", line))
